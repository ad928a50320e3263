"""Images under an affine map: exact if arrays can be, else of second order, and without waves that no pixel can show."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data import resampling
from experiments.data.resampling import DOWN, PREDICTION, UP

STILL = jnp.zeros(2)
resampled = jax.jit(resampling.resampled)
ROUNDING = 2e-6


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def bump(height, width, std, inverse=None, shift=(0.0, 0.0)):
    """exp(-|L (p - shift)|^2 / 2 std^2), p from the centre."""
    down, right = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    p = np.stack([right - shift[0], down - shift[1]])
    p = p if inverse is None else np.einsum("ij,jyx->iyx", inverse, p)
    return np.exp(-(p**2).sum(0) / (2 * std**2))[..., None].astype(np.float32)


def turn(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def test_the_filters_are_symmetric_and_keep_what_does_not_move():
    """In rational numbers: u and g have the sums 2 and 1, and at even places their product is that of the identity."""
    u, g = ([Fraction(tap) for tap in taps] for taps in (UP, DOWN))
    assert u == u[::-1]
    assert g == g[::-1]
    assert (sum(u), sum(g)) == (2, 1)
    at_even_places = np.convolve(u, g)[1::2]
    assert list(at_even_places) == [place == 0 for place in range(-7, 8)]


@pytest.mark.parametrize("degree", range(6))
def test_a_texel_between_pixels_is_predicted_by_a_quintic(degree):
    at = np.arange(-5, 6)
    assert (PREDICTION * at.astype(float) ** degree).sum() == pytest.approx(0.0**degree, abs=1e-9)


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 20, 3), (7, 9, 2), (2, 3, 1)], ids=str)
def test_what_does_not_move_stays_as_it_is(shape):
    x = noise(*shape)
    np.testing.assert_allclose(resampled(x, jnp.eye(2), STILL), x, atol=ROUNDING)


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)], ids=str)
def test_a_mirror_is_that_of_the_array(signs):
    x, inverse = noise(9, 6, 2), jnp.diag(jnp.array(signs, jnp.float32))
    np.testing.assert_allclose(resampled(x, inverse, STILL), x[:: signs[1], :: signs[0]], atol=ROUNDING)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("side", [8, 9])
def test_quarters_of_a_turn_are_those_of_the_array(quarters, side):
    """A turn counter-clockwise to the eye, of points (right, down), has the inverse that turns them by the angle."""
    x, inverse = noise(side, side, 3), jnp.array(turn(quarters * np.pi / 2), jnp.float32)
    np.testing.assert_allclose(resampled(x, inverse, STILL), np.rot90(x, quarters), atol=1e-5)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, -2), (3, 5), (-7, 9)])
def test_a_shift_by_whole_pixels_is_that_of_the_mirrored_array(right, down):
    """On either side of the border, however far."""
    x = noise(6, 8, 2)
    mirrored = np.pad(x, ((12, 12), (12, 12), (0, 0)), mode="reflect")
    expected = mirrored[12 - down : 18 - down, 12 - right : 20 - right]
    np.testing.assert_allclose(resampled(x, jnp.eye(2), jnp.array([right, down], jnp.float32)), expected, atol=ROUNDING)


MAPS = {
    "turn": (turn(0.7), (0.0, 0.0)),
    "enlarge": (np.eye(2) / 1.3, (0.0, 0.0)),
    "shrink": (np.eye(2) * 1.25, (0.0, 0.0)),
    "all": (turn(-2.1) @ np.diag([1.2, 0.9]) / 1.1, (0.37, -0.81)),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_bump_goes_where_the_map_says_at_second_order(name):
    """Twice as wide a bump, in pixels, has a quarter of the error, which is that of linear interpolation between texels."""
    inverse, shift = MAPS[name]

    def errors(std):
        side = int(15 * std)  # the border sees nothing of it
        moved = resampled(bump(side, side + 2, std), jnp.array(inverse, jnp.float32), std * jnp.array(shift))
        exact = bump(side, side + 2, std, inverse, std * np.array(shift))
        return np.abs(moved - exact).max(), np.linalg.norm(moved - exact) / np.linalg.norm(exact)

    (_, coarse), (largest, fine) = errors(3.0), errors(6.0)
    # Second derivatives are at most 1/std^2 along each axis, and texels h = 1/2 apart: h^2/8 of each.
    assert largest < 2 / (32 * 6.0**2)
    assert coarse / fine == pytest.approx(4, rel=0.15)


def test_maps_compose():
    """One map after another is their product, to the errors of both."""
    first, second = jnp.array(turn(0.9) / 1.2, jnp.float32), jnp.diag(jnp.array([0.8, 1.1]))
    x, shift = jnp.array(bump(48, 48, 3.0, np.diag([1.0, 0.6]))), jnp.array([1.5, -2.0])
    one = resampled(x, first, shift)
    both = resampled(one, second, STILL)
    product = resampled(x, first @ second, jnp.linalg.solve(second, shift))  # second p - shift = second (p - second^-1 shift)
    assert np.abs(both - product).max() < 0.02 < 0.2 < np.abs(both - one).max()


def test_waves_too_short_for_the_pixels_are_gone():
    """At half the size a wave of 0.8 of the highest frequency would show as one of 0.4; that of 0.3 stays."""
    wave = lambda share: np.broadcast_to(np.cos(share * np.pi * (np.arange(64) - 31.5)), (64, 64))[..., None].astype(np.float32)
    inside = np.s_[24:40, 24:40]
    shrunk = lambda share: np.asarray(resampled(jnp.array(wave(share)), 2 * jnp.eye(2), STILL))[inside]
    assert np.abs(shrunk(0.8)).max() < 0.05
    np.testing.assert_allclose(shrunk(0.3), wave(0.6)[inside], atol=0.12)


def reference(x, inverse, shift):
    """The same in float64 and in homogeneous coordinates, pixel by pixel of the finer image."""
    height, width, channels = x.shape
    reach, predict = len(DOWN) // 2, len(UP) // 2
    mirror = lambda i, n: n - 1 - abs(n - 1 - i % (2 * n - 2))
    fine = np.zeros((2 * height - 1, 2 * width - 1, channels))
    for i, j in np.ndindex(fine.shape[:2]):
        for a, b in np.ndindex(len(UP), len(UP)):
            row, column = i - a + predict, j - b + predict
            if row % 2 == column % 2 == 0:
                fine[i, j] += UP[a] * UP[b] * x[mirror(row // 2, height), mirror(column // 2, width)]
    to_texels = np.array([[2, 0, width - 1], [0, 2, height - 1], [0, 0, 1.0]])
    moved_back = np.eye(3)
    moved_back[:2, 2] = -np.asarray(shift)
    linear = np.eye(3)
    linear[:2, :2] = inverse
    whole = to_texels @ linear @ moved_back @ np.linalg.inv(to_texels)
    moved = np.zeros((2 * height - 1 + 2 * reach, 2 * width - 1 + 2 * reach, channels))
    for i, j in np.ndindex(moved.shape[:2]):
        column, row, _ = whole @ [j - reach, i - reach, 1]
        for r, c in np.ndindex(2, 2):
            top, left = int(np.floor(row)) + r, int(np.floor(column)) + c
            share = (1 - abs(row - top)) * (1 - abs(column - left))
            moved[i, j] += share * fine[mirror(top, 2 * height - 1), mirror(left, 2 * width - 1)]
    pixels = np.zeros(x.shape)
    for i, j in np.ndindex(height, width):
        window = moved[2 * i : 2 * i + len(DOWN), 2 * j : 2 * j + len(DOWN)]
        pixels[i, j] = np.einsum("a,b,abc->c", DOWN, DOWN, window)
    return pixels


def test_it_is_what_is_written_pixel_by_pixel():
    """A map that leaves the image by more than its size, of noise, as one of several in a batch."""
    x, inverse = noise(2, 6, 5, 2), np.stack([turn(0.4) * 1.7, turn(2.0) @ np.diag([0.7, 3.0])])
    shift = np.array([[0.3, -1.2], [4.4, 2.0]])
    ours = jax.vmap(resampled)(x, jnp.array(inverse, jnp.float32), jnp.array(shift, jnp.float32))
    for i in range(2):
        np.testing.assert_allclose(ours[i], reference(x[i].astype(float), inverse[i], shift[i]), atol=2e-5)
