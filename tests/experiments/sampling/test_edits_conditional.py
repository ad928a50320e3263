"""inpaint, colorize, superresolve, pi_gdm, dps and round_trip's label: draws against exact conditionals, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from edited_runs import DATA, DIGITS, digits, edited, experiment_of  # noqa: F401
from oracle import Mixture, Normal

from experiments.commands.opening import make_plan
from experiments.config.reading import read_config
from experiments.data.dataset import Batch
from experiments.edits.conditional import visible_mask
from experiments.runtime.errors import ConfigError
from experiments.sampling import editing
from models import ScoreModel

pytestmark = pytest.mark.usefixtures("in_root")

ANCESTRAL, ODE = "--config.sample.sampler=ancestral", "--config.sample.sampler=ode"
SIGMA = float(np.exp(-3.0))
"""Of sigma/alpha, where the samplers of `experiment_of` end."""


def told(score_of, test, by, *overrides, shape=(2,)):
    """The edit's titles, its frames [rows, columns, *event], their evaluations and its numbers, under the score of a truth."""
    experiment = experiment_of(f"--config.edit.by={by}", f"--config.edit.rows={len(test)}", *overrides, shape=shape)
    score = score_of(experiment.sde)
    model = ScoreModel(lambda key, x: {}, lambda params, x, t, y=None, key=None: score(x, t, y), lambda *a, **k: None)
    experiment, test = experiment._replace(model=model), np.asarray(test)
    made = editing.configured_edit(experiment, test)
    result = editing.edit_examples(experiment, {}, made, Batch(test))
    return made.columns, result.x[:, 0], result.nfe[:, 0], made.measure(result.x, test)


def of(data):
    """The score of `data`, whatever the label."""
    return lambda sde: lambda x, t, y: data.score(sde)(x, t)


def errors(x, x_1, std):
    """Of draws x [n, k, 2] of DATA given y [n], its first number and noise of deviation `std`: of x_2 - E[x_2 | y], the mean,
    the regression on E[x_2 | y], and the mean square over Var[x_2 | y]. They are 0, 0 and 1; and 0, -1 and more of any draws.
    """
    density = DATA.weights * np.exp(-((x_1[:, None] - DATA.means[:, 0]) ** 2) / (2 * (DATA.std**2 + std**2)))
    w = density / density.sum(1, keepdims=True)
    mean = w @ DATA.means[:, 1]
    variance = DATA.std**2 + w @ DATA.means[:, 1] ** 2 - mean**2
    left, around = x[..., 1] - mean[:, None], mean - mean.mean()
    return (
        float(left.mean()),
        float((left.mean(1) * around).mean() / (around**2).mean()),
        float((left**2).mean() / variance.mean()),
    )


BETWEEN = jnp.array([[x, 0.0] for x in np.linspace(-0.5, 0.4, 64)])
"""Whose first number leaves open, of those in the middle, which component of DATA they are of."""
FEW = "--config.samplers.ancestral.n=20"
INPAINT = "{{'name': 'inpaint', 'hidden': 'right', 'repeats': {}, 'draws': 8}}"


@pytest.mark.slow
def test_inpainted_points_follow_the_exact_conditional():
    """With 10 repeats the second number is as given the first, which is as it was to the noise that is left."""
    columns, x, nfe, numbers = told(of(DATA), BETWEEN, INPAINT.format(10), ANCESTRAL, FEW)
    assert columns == ("example", "seen", *[f"draw {i}" for i in range(1, 9)])
    np.testing.assert_allclose(x[:, 0], BETWEEN, atol=1e-6)
    np.testing.assert_allclose(x[:, 1], BETWEEN * jnp.array([1, 0]), atol=1e-6)
    assert nfe.tolist() == [[0, 0] + [10 * 20 + 1] * 8] * 64
    mean, slope, square = errors(x[:, 2:], x[:, 0, 0], 0)
    assert abs(mean) < 0.03
    assert abs(slope) < 0.15
    assert 0.65 < square < 1.1  # ancestral is narrow at 20 steps, and the last denoising takes what is left of the noise
    error = x[:, 2:] - x[:, :1]
    assert numbers["rms_of_what_is_seen"] == pytest.approx(np.sqrt((error[..., 0] ** 2).mean()), rel=1e-5)
    assert numbers["rms_of_the_rest"] == pytest.approx(np.sqrt((error[..., 1] ** 2).mean()), rel=1e-5)
    assert numbers["rms_between_draws"] == pytest.approx(np.sqrt(x[:, 2:].var(1, ddof=1).mean()), rel=1e-5)
    assert numbers["rms_of_what_is_seen"] < 1.2 * SIGMA


@pytest.mark.slow
def test_replacing_alone_follows_it_not():
    """It learns too late of which component the point is: Lugmayr et al. (2022), and the reason for `repeats`."""
    _, x, _, _ = told(of(DATA), BETWEEN, INPAINT.format(1), ANCESTRAL)
    _, slope, square = errors(x[:, 2:], x[:, 0, 0], 0)
    assert slope < -0.3
    assert square > 1.3


@pytest.mark.slow
@pytest.mark.parametrize("sde", ["VESDE", "EDMSDE"])
def test_inpainting_on_another_sde_than_the_network_s(sde):
    """What is seen is noised as that SDE has it."""
    options = {"VESDE": "'sigma_min': 0.01, 'sigma_max': 50.0", "EDMSDE": "'sigma_max': 80.0"}[sde]
    other = f"--config.samplers.ancestral.sde={{'name': '{sde}', {options}}}"
    _, x, _, numbers = told(of(DATA), BETWEEN, INPAINT.format(10), ANCESTRAL, other)
    mean, slope, _ = errors(x[:, 2:], x[:, 0, 0], 0)
    assert abs(mean) < 0.04
    assert abs(slope) < 0.25
    assert numbers["rms_of_what_is_seen"] < 1.2 * SIGMA


ONE = Mixture(DATA.means[:1], DATA.std, jnp.ones(1))


@pytest.mark.parametrize("sampler", [ODE, pytest.param(ANCESTRAL, marks=pytest.mark.slow)])
def test_pi_gdm_of_one_gaussian_draws_its_posterior(sampler):
    """y is the first number and noise: N(m + k (y - m), (1 - k) v) with k = v/(v + noise^2); the second is as in the prior."""
    by = "{'name': 'pi_gdm', 'noise': 0.1, 'sigma_data': 0.2, 'draws': 8}"
    fine = [f"--config.samplers.{name}.grid.log_snr_max=10.0" for name in ("ancestral", "ode")]
    test = jnp.tile(jnp.array([[-0.4, 0.5]]), (128, 1))
    _, x, nfe, numbers = told(of(ONE), test, by, sampler, "--config.samplers.ancestral.n=400", *fine)
    y, k = x[:, 1, 0], 0.2**2 / (0.2**2 + 0.1**2)
    assert (x[:, 1, 1] == 0).all()
    assert y.std() == pytest.approx(0.1, abs=4 * 0.1 / np.sqrt(2 * 128))
    assert y.mean() == pytest.approx(-0.4, abs=4 * 0.1 / np.sqrt(128))
    m = np.asarray(ONE.means[0])
    left = x[:, 2:, 0] - (m[0] + k * (y[:, None] - m[0]))
    deviation = 0.2 * np.sqrt(1 - k)
    assert left.mean() == pytest.approx(0, abs=4 * deviation / np.sqrt(1024))
    assert left.std() == pytest.approx(deviation, rel=4 / np.sqrt(2 * 1024))
    assert x[:, 2:, 1].mean() == pytest.approx(m[1], abs=4 * 0.2 / np.sqrt(1024))
    assert x[:, 2:, 1].std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * 1024))
    assert (nfe[:, 2:] == (41 if sampler == ODE else 401)).all()
    assert numbers["rms_of_the_rest"] == pytest.approx(np.hypot(0.2, 0.5 - m[1]), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["'pi_gdm', 'sigma_data': 0.2", "'dps', 'zeta': 0.1"])
def test_posterior_draws_go_to_the_component_that_was_measured(by):
    """Most of the way, of two components, where neither method is exact."""
    _, x, nfe, _ = told(of(DATA), BETWEEN, f"{{'name': {by}, 'noise': 0.1, 'draws': 8}}", ANCESTRAL)
    mean, slope, square = errors(x[:, 2:], x[:, 1, 0], 0.1)
    assert abs(mean) < 0.05
    assert -0.35 < slope < 0.1
    assert 0.5 < square < 1.6
    assert (nfe[:, 2:] == (81 if "dps" in by else 41)).all()


CHANNELS = Normal(jnp.array([0.2, 0.0, -0.3]), jnp.array([[0.3, 0.1, 0.0], [0.1, 0.2, -0.05], [0.0, -0.05, 0.05]]))
SHAPE = (4, 4, 3)


def colours(sde):
    """Of images whose pixels are draws of CHANNELS, each by itself."""
    score = CHANNELS.score(sde)
    return lambda x, t, y: jax.vmap(lambda pixel: score(pixel, t))(x.reshape(-1, 3)).reshape(x.shape)


def images(n):
    return jax.random.multivariate_normal(jax.random.key(0), CHANNELS.mean, CHANNELS.covariance, (n, *SHAPE[:2]))


@pytest.mark.slow
def test_colorized_images_keep_their_grey_and_have_the_colours_that_go_with_it():
    """E[x | grey] = m + C a (a^T C a)^-1 (grey - a^T m), a = 1/3, of a pixel; and its covariance."""
    test = images(16)
    _, x, _, numbers = told(colours, test, "{'name': 'colorize', 'repeats': 10, 'draws': 4}", ANCESTRAL, shape=SHAPE)
    np.testing.assert_allclose(x[:, 1], np.broadcast_to(test.mean(-1, keepdims=True), test.shape), atol=1e-6)
    assert numbers["rms_of_what_is_seen"] < 1.2 * SIGMA
    a = jnp.ones((1, 3)) / 3
    grey = np.asarray(test.mean(-1)).ravel()
    exact = jax.vmap(lambda y: CHANNELS.given(a, y[None], 0.0).mean)(grey)
    covariance = CHANNELS.given(a, jnp.zeros(1), 0.0).covariance
    got = np.moveaxis(x[:, 2:], 1, -2).reshape(-1, 4, 3)
    left = got - exact[:, None]
    slope = (left.mean(1) * (exact - exact.mean(0))).sum() / ((exact - exact.mean(0)) ** 2).sum()
    np.testing.assert_allclose(left.mean((0, 1)), 0, atol=0.06)
    assert abs(slope) < 0.1
    np.testing.assert_allclose(np.cov(left.reshape(-1, 3).T), covariance, atol=0.1 * float(jnp.trace(covariance)))


FINE = "--config.samplers.ancestral.n=200", "--config.samplers.ancestral.grid.log_snr_max=9.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "by", ["'superresolve'", "'dps', 'hidden': 'coarse', 'zeta': 0.5", "'pi_gdm', 'hidden': 'coarse', 'noise': 0.0"]
)
def test_means_over_blocks_are_kept(by):
    """And within a block pixels are as any, around it."""
    test = images(16)
    _, x, _, numbers = told(colours, test, f"{{'name': {by}, 'draws': 4}}", ANCESTRAL, *FINE, shape=SHAPE)
    blocks = lambda x: x.reshape(*x.shape[:-3], 2, 2, 2, 2, 3).mean((-4, -2))
    if "noise" in by or "super" in by:
        np.testing.assert_allclose(x[:, 1].reshape(16, 2, 2, 2, 2, 3)[:, :, 1, :, 0], blocks(np.asarray(test)), atol=1e-5)
    error = blocks(x[:, 2:]) - blocks(np.asarray(test))[:, None]
    assert numbers["rms_of_what_is_seen"] == pytest.approx(2 * np.sqrt((error**2).mean()), rel=1e-4)
    assert numbers["rms_of_what_is_seen"] < (0.3 if "dps" in by else 1.2 * np.exp(-4.5))
    within = x[:, 2:].reshape(16, 4, 2, 2, 2, 2, 3) - blocks(x[:, 2:])[:, :, :, None, :, None]
    np.testing.assert_allclose((within**2).mean((0, 1, 2, 3, 4, 5)), 0.75 * np.diag(CHANNELS.covariance), rtol=0.2)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (8, 6, 3), (5, 5, 2)])
def test_masks_hide_what_they_say(shape):
    height, width = shape[:2]
    row, column = np.indices((height, width))
    hidden = {
        "right": column >= width // 2,
        "left": column < width // 2,
        "top": row < height // 2,
        "bottom": row >= height // 2,
        "rows": row % 2 == 1,
        "box": (abs(2 * row + 1 - height) < height - 2 * (height // 4))
        & (abs(2 * column + 1 - width) < width - 2 * (width // 4)),
    }
    for name, of_pixels in hidden.items():
        mask = np.broadcast_to(visible_mask(name, shape), shape)
        np.testing.assert_array_equal(
            mask, ~np.broadcast_to(of_pixels.reshape(height, width, *(1,) * (len(shape) - 2)), shape), name
        )
    half = np.broadcast_to(visible_mask("half", shape), shape)
    assert (half == half.reshape(height, width, -1)[:, :, 0].reshape(height, width, *(1,) * (len(shape) - 2))).all()
    assert half.mean() == pytest.approx(0.5, abs=2.5 / np.sqrt(height * width))
    np.testing.assert_array_equal(visible_mask("half", shape), visible_mask("half", shape))


def test_of_a_point_the_second_half_is_hidden():
    assert visible_mask("right", (2,)).tolist() == [True, False]
    assert visible_mask("right", (5,)).tolist() == [True, True, False, False, False]


def test_of_a_signal_times_are_hidden():
    """All channels of them."""
    for hidden, times in {"right": [1, 1, 0, 0, 0], "left": [0, 0, 1, 1, 1]}.items():
        mask = np.broadcast_to(visible_mask(hidden, (5, 3)), (5, 3))
        np.testing.assert_array_equal(mask, np.array(times, bool)[:, None] & np.ones(3, bool))
    half = np.broadcast_to(visible_mask("half", (400, 3)), (400, 3))
    assert half.mean() == pytest.approx(0.5, abs=0.1)
    assert (half == half[:, :1]).all()


@pytest.mark.parametrize("hidden", ["right", "left", "top", "bottom", "rows", "box", "half"])
def test_of_a_volume_the_same_part_of_each_image_is_hidden(hidden):
    volume = np.broadcast_to(visible_mask(hidden, (3, 8, 6, 2)), (3, 8, 6, 2))
    for image in volume:
        np.testing.assert_array_equal(image, np.broadcast_to(visible_mask(hidden, (8, 6, 2)), (8, 6, 2)))


GREY, POINT, RGB, SIGNAL, VOLUME = (8, 8, 1), (2,), (8, 6, 3), (16, 2), (4, 4, 4, 2)


@pytest.mark.parametrize(
    ("shape", "by", "says"),
    [
        (GREY, "{'name': 'colorize'}", "grey takes an image [H, W, C] of two channels or more, and this is of shape (8, 8, 1)"),
        (POINT, "{'name': 'colorize'}", "grey takes an image"),
        (
            RGB,
            "{'name': 'superresolve', 'factor': 4}",
            "coarse(4): blocks of 4 x 4 do not fill 8 x 6; those of the nearest size, 2",
        ),
        (POINT, "{'name': 'superresolve'}", "coarse takes an image [H, W, ...]"),
        (RGB, "{'name': 'superresolve', 'factor': 1}", "factor = 1: input should be greater than or equal to 2"),
        (RGB, "{'name': 'superresolve', 'hidden': 'left'}", "unknown option hidden (there are factor, repeats, draws)"),
        (POINT, "{'name': 'inpaint', 'hidden': 'left'}", "hidden = 'left' is for images; of a point, hidden = 'right' is its"),
        (POINT, "{'name': 'dps', 'hidden': 'box'}", "hidden = 'box' is for images; of a point, hidden = 'right' is its"),
        (
            SIGNAL,
            "{'name': 'inpaint', 'hidden': 'top'}",
            "hidden = 'top' is for images; of a signal, take right or left",
        ),
        (SIGNAL, "{'name': 'superresolve'}", "coarse takes an image [H, W, ...], and this is of shape (16, 2)"),
        (VOLUME, "{'name': 'colorize'}", "grey takes an image [H, W, ...], and this is of shape (4, 4, 4, 2)"),
        ((1,), "{'name': 'inpaint'}", "hidden = 'right' is all of an event of 1"),
        ((1, 8, 1), "{'name': 'inpaint', 'hidden': 'rows'}", "hidden = 'rows' is nothing of an event of 1 x 8"),
        (RGB, "{'name': 'inpaint', 'hidden': 'grey'}", "hidden = 'grey': input should be 'right', 'left'"),
        (RGB, "{'name': 'inpaint', 'repeats': 0}", "repeats = 0: input should be greater than or equal to 1"),
        (RGB, "{'name': 'pi_gdm', 'hidden': 'coarse', 'factor': 3}", "coarse(3): blocks of 3 x 3 do not fill 8 x 6"),
        (RGB, "{'name': 'pi_gdm', 'hidden': 'left', 'factor': 3}", "factor = 3 is for hidden = 'coarse', and this is 'left'"),
        (RGB, "{'name': 'pi_gdm', 'noise': -0.1}", "noise = -0.1: input should be greater than or equal to 0"),
        (RGB, "{'name': 'dps', 'zeta': 0.0}", "zeta = 0.0: input should be greater than 0"),
        (POINT, "{'name': 'round_trip', 'label': 1}", "neither network nor guide has classes: take None"),
        (POINT, "{'name': 'round_trip', 'label': -1}", "label = -1: input should be greater than or equal to 0"),
    ],
)
def test_what_does_not_apply_is_refused_with_what_does(shape, by, says):
    with pytest.raises(ConfigError) as error:
        refused(by, shape)
    assert f"edit.by: {says}" in str(error.value)


def refused(by, shape, *overrides):
    by = f"--config.edit.by={by}"
    make_plan(read_config("configs/toy2d/moons.py", [by]), opening=False)
    editing.configured_edit(experiment_of(by, *overrides, shape=shape), np.zeros((40, *shape), np.float32))


CLASSES = "--config.net.classes=2"


def test_a_label_that_the_network_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"edit.by: there is no class 2 \(there are 0, 1\)"):
        refused("{'name': 'round_trip', 'label': 2}", POINT, CLASSES)


def test_a_label_is_asked_for_by_its_name():
    experiment = experiment_of(CLASSES, "--config.edit.by={'name': 'round_trip', 'label': 'dog'}")._replace(
        names=("cat", "dog")
    )
    assert editing.configured_edit(experiment, np.zeros((40, 2), np.float32)).columns == ("example", "latent", "as a dog")


@pytest.mark.slow
def test_a_round_trip_to_another_class_moves_a_gaussian_onto_the_other():
    """Between the flows of N(m_0, v I) and N(m_1, v I): x + m_1 - m_0, but for what is left of the means at t = 1."""

    def score_of(sde):
        return lambda x, t, y: Mixture(DATA.means[y][None], DATA.std, jnp.ones(1)).score(sde)(x, t)

    test = DATA.means[0] + DATA.std * jax.random.normal(jax.random.key(0), (16, 2))
    told_by = "--config.sample.label=0", CLASSES, "--config.evaluate.tolerance=1e-6"
    columns, x, nfe, _ = told(score_of, test, "{'name': 'round_trip', 'label': 1}", *told_by)
    assert columns == ("example", "latent", "as a 1")
    np.testing.assert_allclose(x[:, 2], test + DATA.means[1] - DATA.means[0], atol=5e-3)
    assert (nfe[:, 2] > 50).all()
