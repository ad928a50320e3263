"""inpaint, colorize, superresolve, pi_gdm, dps and round_trip's label: draws against exact conditionals, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Mixture, Normal
from test_edits import DATA, draws, experiment_of, held_out
from test_experiments import in_root  # noqa: F401

from experiments import edit
from experiments.edits.conditional import known
from experiments.errors import ConfigError
from models import ScoreModel

ANCESTRAL = "--config.sample.sampler=ancestral"
SIGMA = float(np.exp(-3.0))
"""Of sigma/alpha, where the samplers of `experiment_of` end."""


def told(score_of, test, by, *overrides, shape=(2,)):
    """The edit's titles, its frames [rows, columns, *event], their evaluations and its numbers, under the score of a truth."""
    named = f"--config.edit.by={by}"
    experiment = experiment_of(named, f"--config.edit.rows={len(test)}", *overrides, shape=shape)
    score = score_of(experiment.sde)
    model = ScoreModel(lambda key, x: {}, lambda params, x, t, y=None, key=None: score(x, t, y), lambda *a, **k: None)
    experiment = experiment._replace(model=model)
    made = edit.chosen(experiment, np.asarray(test))
    result = edit.edited(experiment, {}, made, held_out(np.asarray(test)))
    return made.columns, result.x[:, 0], result.nfe[:, 0], made.measure(result.x, np.asarray(test))


def of(data):
    """The score of `data`, whatever the label."""
    return lambda sde: lambda x, t, y: data.score(sde)(x, t)


def given_first(x_1, std):
    """E[x_2 | y] and Var[x_2 | y] [n] of DATA, where y is x_1 and noise of deviation `std`."""
    density = DATA.weights * np.exp(-((x_1[:, None] - DATA.means[:, 0]) ** 2) / (2 * (DATA.std**2 + std**2)))
    w = density / density.sum(1, keepdims=True)
    mean = w @ DATA.means[:, 1]
    return mean, DATA.std**2 + w @ DATA.means[:, 1] ** 2 - mean**2


def errors(x, x_1, std):
    """Of draws x [n, k, 2] given x_1: the mean of x_2 - E, its regression on E, and the ratio of its mean square to Var."""
    mean, variance = given_first(x_1, std)
    left = x[..., 1] - mean[:, None]
    around = mean - mean.mean()
    return left.mean(), (left * around[:, None]).mean() / (around**2).mean(), (left**2).mean() / variance.mean()


NEAR_BOTH = jnp.array([[x, 0.0] for x in np.linspace(-0.5, 0.4, 128)])
"""Whose first coordinate leaves open, for some, which component they are of."""


def test_inpainted_points_follow_the_exact_conditional():
    """With 10 repeats x_2 is as given x_1, where replacing alone is not; x_1 is as it was, to the noise that is left."""
    by = "{{'name': 'inpaint', 'hidden': 'right', 'repeats': {}, 'draws': 8}}"
    columns, x, nfe, numbers = told(of(DATA), NEAR_BOTH, by.format(10), ANCESTRAL)
    assert columns == ("example", "seen", *[f"draw {i}" for i in range(1, 9)])
    np.testing.assert_allclose(x[:, 0], NEAR_BOTH, atol=1e-6)
    np.testing.assert_allclose(x[:, 1], NEAR_BOTH * jnp.array([1, 0]), atol=1e-6)
    assert (nfe[:, :2] == 0).all()
    assert (nfe[:, 2:] == 10 * 40 + 1).all()
    print(errors(x[:, 2:], x[:, 0, 0], 0), numbers)
    _, alone, _, _ = told(of(DATA), NEAR_BOTH, by.format(1), ANCESTRAL)
    print(errors(alone[:, 2:], x[:, 0, 0], 0), )


def test_pi_gdm_of_one_gaussian_draws_its_posterior():
    one = Mixture(DATA.means[:1], DATA.std, jnp.ones(1))
    test = jnp.tile(jnp.array([[-0.4, 0.5]]), (64, 1))
    for sampler in ("ancestral", "ode"):
        by = "{'name': 'pi_gdm', 'noise': 0.1, 'sigma_data': 0.2, 'draws': 8}"
        _, x, nfe, numbers = told(of(one), test, by, f"--config.sample.sampler={sampler}", "--config.samplers.ancestral.n=100")
        gain = 0.2**2 / (0.2**2 + 0.1**2)
        y = x[:, 1, 0]
        print(y.mean(), y.std(), (x[:, 1, 1] == 0).all())
        left = x[:, 2:, 0] - (-0.6 + gain * (y[:, None] + 0.6))
        print(sampler, left.mean(), left.std(), 0.2 * np.sqrt(1 - gain), x[:, 2:, 1].mean(), x[:, 2:, 1].std(), numbers, nfe[0])


def test_posterior_points():
    for by in ("{'name': 'pi_gdm', 'noise': 0.1, 'sigma_data': 0.2, 'draws': 8}", "{'name': 'pi_gdm', 'noise': 0.1, 'draws': 8}", "{'name': 'dps', 'noise': 0.1, 'draws': 8, 'zeta': 0.1}", "{'name': 'dps', 'noise': 0.1, 'draws': 8, 'zeta': 0.03}", "{'name': 'dps', 'noise': 0.1, 'draws': 8}"):
        _, x, nfe, numbers = told(of(DATA), NEAR_BOTH, by, ANCESTRAL)
        print(by, errors(x[:, 2:], x[:, 1, 0], 0.1), numbers, nfe[0])
