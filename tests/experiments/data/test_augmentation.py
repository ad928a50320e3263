"""EDM's augmentation against its definition: where each map takes a point, how often it is drawn, and its labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.data import augmentation
from experiments.data.augmentation import LABELS, SCALE, SHIFT, STRETCH, ImageMap, augmented, draw_map

IDENTITY = ImageMap(jnp.zeros(2), *jnp.zeros(4), jnp.zeros(2))
P, N = 0.3, 40_000
mapped = jax.jit(augmentation.mapped)
draw_maps = jax.jit(jax.vmap(draw_map, (0, None)))
inverses = jax.jit(jax.vmap(lambda by: by.inverse))


def noise(*shape):
    return jnp.array(np.random.default_rng(0).uniform(-1, 1, shape), jnp.float32)


def homogeneous(a, b, c, d, x=0.0, y=0.0):
    return np.array([[a, b, x], [c, d, y], [0, 0, 1.0]])


def turned(angle):
    """Counter-clockwise to the eye, for y that points down: by the matrix for y that points up, between two mirrors."""
    up = homogeneous(1, 0, 0, -1)
    return up @ homogeneous(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)) @ up


def forward(by, height, width):
    """T A R S F, one matrix after the other, in float64."""
    flips, scale, angle, stretch, direction, shift = (np.asarray(each, float) for each in by)
    F = homogeneous(1 - 2 * flips[0], 0, 0, 1 - 2 * flips[1])
    S = homogeneous(2 ** (SCALE * scale), 0, 0, 2 ** (SCALE * scale))
    s = 2 ** (STRETCH * stretch)
    A = turned(direction) @ homogeneous(s, 0, 0, 1 / s) @ np.linalg.inv(turned(direction))
    T = homogeneous(1, 0, 0, 1, SHIFT * shift[0] * width, SHIFT * shift[1] * height)
    return T @ A @ turned(angle) @ S @ F


def test_a_map_takes_points_where_the_paper_says():
    """Those that are drawn if everything is: the inverse of F, then S, R, A and T, as matrices in homogeneous coordinates."""
    maps = draw_maps(jax.random.split(jax.random.key(0), 8), 1.0)
    linear, shift = inverses(maps), SHIFT * np.asarray(maps.shift) * [10, 6]
    for i in range(8):
        backward = np.linalg.inv(forward([leaf[i] for leaf in maps], 6, 10))
        np.testing.assert_allclose(linear[i], backward[:2, :2], atol=3e-6)
        np.testing.assert_allclose(-linear[i] @ shift[i], backward[:2, 2], atol=2e-5)


def test_at_zeros_the_image_and_its_labels_say_nothing_happened():
    x = noise(8, 8, 3)
    np.testing.assert_allclose(mapped(x, IDENTITY), x, atol=2e-6)
    assert IDENTITY.labels.shape == (LABELS,)
    assert not IDENTITY.labels.any()


# fmt: off
EXACT = {
    "mirrored": (IDENTITY._replace(flips=jnp.array([1.0, 0.0])), lambda x: x[:, ::-1], {0: 1}),
    "upside down": (IDENTITY._replace(flips=jnp.array([0.0, 1.0])), lambda x: x[::-1], {1: 1}),
    "a quarter, counter-clockwise": (IDENTITY._replace(angle=jnp.pi / 2), np.rot90, {3: -1, 4: 1}),
    "an eighth of the width to the right": (
        IDENTITY._replace(shift=jnp.array([1.0, 0])), lambda x: np.pad(x, ((0, 0), (1, 0), (0, 0)), "reflect")[:, :-1], {7: 1},
    ),
    "a quarter of the height up": (
        IDENTITY._replace(shift=jnp.array([0, -2.0])), lambda x: np.pad(x, ((0, 2), (0, 0), (0, 0)), "reflect")[2:], {8: -2},
    ),
}
# fmt: on


@pytest.mark.parametrize("name", EXACT)
def test_a_map_of_whole_pixels_is_one_of_arrays(name):
    by, exactly, labels = EXACT[name]
    x = noise(8, 8, 2)
    np.testing.assert_allclose(mapped(x, by), exactly(np.asarray(x)), atol=1e-5)
    expected = np.zeros(LABELS)
    expected[[*labels]] = [*labels.values()]
    np.testing.assert_allclose(by.labels, expected, atol=1e-6)


SIZES = {
    "larger": (IDENTITY._replace(scale=2.0), (2**0.4, 2**0.4), {2: 2}),
    "stretched along the width": (IDENTITY._replace(stretch=2.0), (2**0.4, 2**-0.4), {5: 2}),
    "stretched along the height": (IDENTITY._replace(stretch=2.0, direction=np.pi / 2), (2**-0.4, 2**0.4), {6: 2}),
    "squeezed along the height": (IDENTITY._replace(stretch=-2.0, direction=-np.pi / 2), (2**0.4, 2**-0.4), {6: 2}),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_bump_grows_as_it_is_called(name):
    """To the error of linear interpolation. The last two share their labels, and undo each other."""
    by, factors, labels = SIZES[name]
    down, right = np.mgrid[:64, :64] - 31.5
    bump = lambda wide, tall: np.exp(-((right / wide) ** 2 + (down / tall) ** 2) / 2)[..., None].astype(np.float32)
    moved = mapped(jnp.array(bump(5, 5)), by)
    np.testing.assert_allclose(moved, bump(5 * factors[0], 5 * factors[1]), atol=5e-3)
    expected = np.zeros(LABELS)
    expected[[*labels]] = [*labels.values()]
    np.testing.assert_allclose(by.labels, expected, atol=1e-6)


@pytest.fixture(scope="module")
def draws():
    """N maps, each kind drawn with probability P, and their labels."""
    maps = draw_maps(jax.random.split(jax.random.key(1), N), P)
    return jax.tree.map(np.asarray, maps), np.asarray(jax.vmap(lambda by: by.labels)(maps))


def within(share, probability, n=N):
    """To 5 standard errors."""
    return abs(share - probability) < 5 * (probability * (1 - probability) / n) ** 0.5


def kinds(by):
    """Whether each kind was drawn, but for the mirrors."""
    return {"S": by.scale != 0, "R": by.angle != 0, "A": by.stretch != 0, "T": (by.shift != 0).any(-1)}


def test_each_kind_is_drawn_as_often_as_asked(draws):
    """By itself: two of them together in the product of their probabilities."""
    by, _ = draws
    there = kinds(by) | {"upside down": by.flips[:, 1] == 1}
    chances = dict.fromkeys(there, P) | {"upside down": P / 2}
    for one in there:
        assert within(there[one].mean(), chances[one])
        for other in there.keys() - {one}:
            assert within((there[one] & there[other]).mean(), chances[one] * chances[other])
    assert within(by.flips[:, 0].mean(), 0.5)
    assert within((by.flips[:, 0] * by.flips[:, 1]).mean(), P / 4)
    assert set(np.unique(by.flips)) == {0, 1}


def test_the_moments_are_the_paper_s(draws):
    """Normals of mean 0 and variance 1, all angles alike, and half of the stretches along the width."""
    by, _ = draws
    there, sides = kinds(by), (by.shift[:, 0], by.shift[:, 1])
    for kind, z in (("S", by.scale), ("A", by.stretch), ("T", sides[0]), ("T", sides[1])):
        z = z[there[kind]]
        assert abs(z.mean()) < 5 / len(z) ** 0.5
        assert abs((z**2).mean() - 1) < 5 * (2 / len(z)) ** 0.5
        assert abs((z**4).mean() - 3) < 5 * (96 / len(z)) ** 0.5
    assert abs(np.corrcoef(*sides)[0, 1]) < 5 / N**0.5
    assert ((sides[0] != 0) == (sides[1] != 0)).all()
    oblique = by.direction != 0
    assert within(oblique[there["A"]].mean(), 0.5, there["A"].sum())
    assert not (oblique & ~there["A"]).any()
    for angle in (by.angle[there["R"]], by.direction[oblique]):
        for k in (1, 2, 3):
            assert abs(np.exp(1j * k * angle).mean()) < 5 / len(angle) ** 0.5
        assert np.abs(angle).max() <= np.pi + 1e-6


def test_labels_are_zero_for_what_was_not_drawn_and_only_for_that(draws):
    by, labels = draws
    there = kinds(by)
    assert labels.shape == (N, LABELS)
    np.testing.assert_array_equal(labels[:, :2], by.flips)
    for kind, places in {"S": [2], "R": [3, 4], "A": [5, 6], "T": [7, 8]}.items():
        np.testing.assert_array_equal((labels[:, places] != 0).any(1), there[kind])
    np.testing.assert_allclose(np.hypot(labels[:, 3] + 1, labels[:, 4]), 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(labels[:, 5], labels[:, 6]), np.abs(by.stretch), rtol=1e-5)


def test_hardly_a_map_looks_beyond_one_mirror_image():
    """There EDM's code has zeros, and ours the next mirror image; with EDM's p and 32 pixels."""
    maps = draw_maps(jax.random.split(jax.random.key(2), N), 0.12)
    corners = np.array([[-15.5, 15.5, 15.5, -15.5], [-15.5, -15.5, 15.5, 15.5]])
    seen = np.einsum("nij,njk->nik", inverses(maps), corners - 32 * SHIFT * np.asarray(maps.shift)[..., None])
    assert (np.abs(seen).max((1, 2)) > 1.5 * 31).mean() < 1e-4


def test_each_example_has_a_map_of_its_own_key():
    x, keys = noise(4, 6, 6, 1), jax.random.split(jax.random.key(3), 4)
    images, labels = jax.jit(jax.vmap(augmented, (0, 0, None)))(keys, x, 0.9)
    for key, one, image, label in zip(keys, x, images, labels, strict=True):
        by = jax.jit(draw_map)(key, 0.9)
        np.testing.assert_allclose(label, by.labels, atol=1e-6)
        np.testing.assert_allclose(image, mapped(one, by), atol=1e-5)
    assert len(np.unique(np.asarray(labels), axis=0)) == 4
