"""Bits per dimension against quadrature of the model's density over the cells of the levels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Mixture
from scipy.stats import norm
from slow import one_in

from experiments.build.build import build
from experiments.build.idle import idle_problems
from experiments.config.messages import schema_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch, Dataset, ExampleStream
from experiments.data.decoded import Decoded
from experiments.data.moments import Moments
from experiments.data.scaler import Scaler
from experiments.evaluation import likelihood
from experiments.evaluation.dequantize import UNIFORM, fit, logit_normal, variational
from experiments.evaluation.likelihood import bits_of, bits_per_dim, held_out, mean_and_error, measure_bits, standard_error
from experiments.runtime import devices
from samplers import log_prob
from sde_lib import VPSDE

SDE, SCALER, LEVELS = VPSDE(), Scaler(4, True), jnp.arange(4, dtype=jnp.uint8).reshape(4, 1, 1, 1)
MODEL = Mixture(jnp.array([-1.15, -0.2, 0.55]).reshape(3, 1), 0.2, jnp.array([0.3, 0.45, 0.25]))
"""One pixel of four levels; its density leans to one side in every cell."""


def log_density(x):
    """log p(x) of the model where its flow starts, t_min."""
    return MODEL.log_prob(SDE, x.reshape(1), SDE.t_min)


def score(x, t):
    return MODEL.score(SDE)(x.reshape(1), t).reshape(x.shape)


U = jnp.linspace(0, 1, 2001)
IN_CELLS = jax.vmap(lambda k: jax.vmap(lambda u: log_density(SCALER.place(k, u)))(U))(LEVELS) + math.log(2 / 3)
"""log p(k + u) by quadrature points: a cell is 2/(L - 1) = 2/3 wide in x."""
EXACT = -np.log2(np.trapezoid(np.exp(IN_CELLS), U, axis=1))
ONE_UNIFORM_DRAW = -np.trapezoid(IN_CELLS, U, axis=1) / np.log(2)


def config(*overrides):
    return Config.model_validate(read_config("configs/digits/vp.py", [f"--config.{o}" for o in overrides]))


def bits_over_keys(draws, n, times=0, q=UNIFORM):
    """`bits_of` the four levels, over n keys: arrays [n, 4]."""
    options = config(f"evaluate.draws={draws}", "evaluate.probes=0", f"evaluate.bound_times={times}").evaluate

    def draw(key, k):
        u, log_q = q.draw(q.params, key, k)
        return SCALER.place(k, u), log_q

    bits = bits_of(SDE, score, SCALER, draw, options)
    keys = jax.random.split(jax.random.key(0), (n, 4))
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.vmap(bits), (0, None)))(keys, LEVELS))


def close(values, truth, slack):
    """The mean over keys, within four standard errors and `slack`."""
    np.testing.assert_array_less(abs(values.mean(0) - truth), slack + 4 * values.std(0) / math.sqrt(len(values)))


@pytest.fixture(scope="module")
def one_draw():
    return bits_over_keys(1, 400, times=256)


@pytest.mark.slow
def test_one_draw_costs_the_mean_logarithm(one_draw):
    """-int log2 p(k + u) du, which is more than -log2 P(k); the probabilities of the cells sum to nearly one."""
    assert np.exp2(-EXACT).sum() == pytest.approx(1, abs=0.1)  # the rest is beyond the outer cells
    assert (ONE_UNIFORM_DRAW - EXACT).min() > 0.05
    close(one_draw.flow, ONE_UNIFORM_DRAW, 3e-3)


@pytest.mark.slow
def test_more_draws_are_a_tighter_bound(one_draw):
    """The mean falls with K, to -log2 P(k)."""
    four, many = bits_over_keys(4, 100).flow, bits_over_keys(64, 8).flow
    assert one_draw.flow.mean() > four.mean() + 0.1 > many.mean() + 0.15
    close(many, EXACT, 0.02)


def test_the_variational_bound_is_a_bound_and_tight_at_the_exact_score(one_draw):
    """Of the same draw of u it is the flow's -log2 p(k + u) in the mean over its noise; hence more than -log2 P(k)."""
    excess = (one_draw.bound - one_draw.flow).ravel()
    std_error = excess.std() / math.sqrt(len(excess))
    assert abs(excess.mean()) < 0.01 + 4 * std_error
    assert 4 * std_error < (ONE_UNIFORM_DRAW - EXACT).mean() / 2
    assert one_draw.bound.mean() > EXACT.mean()


def test_the_dequantizer_normalises():
    """int q(u) du = 1 by quadrature over u, and q is what the draws have: P(u < 0.3) and E u agree with it."""
    for mean, log_std in ((0.0, 0.5), (-1.0, -0.7)):
        z = jnp.linspace(-9, 9, 20_001)
        u, log_q = jax.vmap(lambda z, m=mean, s=log_std: logit_normal(jnp.asarray(m), jnp.asarray(s), z))(z)
        q, u = np.exp(np.asarray(log_q, float)), np.asarray(u, float)
        assert np.trapezoid(q, u) == pytest.approx(1, abs=1e-4)
        draws, _ = jax.vmap(lambda z, m=mean, s=log_std: logit_normal(jnp.asarray(m), jnp.asarray(s), z))(
            jax.random.normal(jax.random.key(0), (50_000,))
        )
        assert float(jnp.mean(draws < 0.3)) == pytest.approx(np.trapezoid(np.where(u < 0.3, q, 0), u), abs=0.01)
        assert float(draws.mean()) == pytest.approx(np.trapezoid(u * q, u), abs=0.005)


def test_the_dequantizer_adds_up_over_pixels():
    mean, log_std, z = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    whole = logit_normal(mean, log_std, z)[1]
    parts = [logit_normal(m, s, one)[1] for m, s, one in zip(mean.ravel(), log_std.ravel(), z.ravel(), strict=True)]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)


@pytest.mark.slow
def test_a_fitted_dequantizer_beats_the_uniform():
    """On the skewed cells, by most of what there is to gain, and it stays a bound."""
    bound = lambda params, key, k, u: -log_density(SCALER.place(k, u)) - math.log(2 / 3)
    q, batch = variational(jax.random.key(0), 4, (1, 1, 1), width=8), np.tile(np.asarray(LEVELS), (16, 1, 1, 1))
    q, curve = fit(jax.random.key(1), q, bound, (), [batch] * 150, steps=150, rate=5e-2)
    assert curve[-15:].mean() < curve[:3].mean()

    def cost(key, k):
        u, log_q = q.draw(q.params, key, k)
        return bound((), key, k, u) + log_q

    costs = jax.vmap(jax.vmap(cost), (0, None))(jax.random.split(jax.random.key(2), (500, 4)), LEVELS) / math.log(2)
    gap = float(costs.mean()) - EXACT.mean()
    assert -0.01 < gap < 0.3 * (ONE_UNIFORM_DRAW - EXACT).mean()


@pytest.mark.slow
def test_a_dequantizer_is_fitted_on_other_devices_than_the_network(experiment, monkeypatch):
    """On eight, to batches of the least size that they divide, after training in batches of twelve."""
    stream = ExampleStream(Decoded([{"image": k} for k in TEST], 256, "x"), 0, 1)
    data = Dataset((2, 2, 1), stream, TEST, None, None, "")
    sizes = []

    def fitted(key, q, bound, params, batches, steps):
        sizes.extend(devices.split(k).shape for k in batches)
        return q, np.zeros(steps)

    monkeypatch.setattr(likelihood, "fit", fitted)
    made = experiment("train.batch=12", "evaluate.dequantizer=variational", "evaluate.dequantizer_steps=2")
    likelihood._learned(made, (), data)
    assert sizes == [(16, 2, 2, 1)] * 2


@pytest.fixture(scope="module")
def experiment():
    """experiment(*overrides): images of 2 x 2 pixels, each the model's; the exact score in the place of a network."""
    made = build(config("data.levels=4", "net.multipliers=(1,)"), (2, 2, 1))
    pixels = lambda params, x, t, y=None, key=None: jax.vmap(lambda pixel: score(pixel, t))(x.reshape(4, 1)).reshape(x.shape)
    made = made._replace(model=made.model._replace(apply=pixels))
    return lambda *overrides: made._replace(config=config("data.levels=4", "evaluate.tolerance=1e-2", *overrides))


TEST = np.random.default_rng(0).integers(0, 4, (11, 2, 2, 1), np.uint8)
HELD_OUT = Dataset((2, 2, 1), None, TEST, None, None, "")  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def in_eights(experiment):
    return measure_bits(experiment("evaluate.batch=8"), (), HELD_OUT.held_out(11))


@pytest.mark.slow
def test_every_example_counts_once_whatever_the_batch(experiment, in_eights):
    """Eleven examples in batches of 8 and of 16, the last one partial: the same bits.

    To what the solver makes of float32's rounding, which depends on the batch.
    """
    in_sixteens = measure_bits(experiment("evaluate.batch=16"), (), HELD_OUT.held_out(11))
    assert np.diff(np.sort(in_eights.flow)).min() > 3e-3
    for name in ("flow", "bound"):
        assert getattr(in_eights, name).shape == (11,)
        np.testing.assert_allclose(getattr(in_sixteens, name), getattr(in_eights, name), atol=1e-3)


@pytest.mark.slow
def test_the_result_is_the_mean_over_all_that_are_asked_for(experiment, in_eights):
    """ "all", a number, and 0; with the standard error, and how the numbers were come by."""
    flow = in_eights.flow
    result = bits_per_dim(experiment("evaluate.batch=8", "evaluate.likelihood=all", "evaluate.bound_times=0"), (), HELD_OUT)
    assert result["mean"] == pytest.approx(flow.mean(), abs=1e-3)
    assert result["std_error"] == pytest.approx(flow.std(ddof=1) / 11**0.5, abs=1e-3)
    assert (result["n"], result["bound"], result["dequantizer"], result["draws"]) == (11, None, "uniform", 1)
    assert [held_out(config(f"evaluate.likelihood={n}"), TEST) for n in ("all", 2, 20)] == [11, 2, 11]
    assert bits_per_dim(experiment("evaluate.likelihood=0"), (), HELD_OUT) is None


def test_the_mean_is_nan_and_counted_where_a_solver_failed():
    summary = mean_and_error(np.array([1.0, 3.0, np.nan]))
    assert summary["non_finite"] == 1
    assert math.isnan(summary["mean"])


@one_in(6)
@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 2, 2)])
@pytest.mark.parametrize("standardise", ["channel", "scalar"])
def test_bits_of_standardised_floats_are_those_of_the_density_in_their_units(shape, standardise):
    """Gaussian data under the exact score of what the network sees have it by the flow and, in the mean, by the bound."""
    mean, std = (np.array(values) for values in ((5.0, -2.0), (3.0, 0.2)))
    scaler = Scaler(0, False, moments=Moments(tuple(mean), tuple(std)).over(standardise))
    k = jnp.asarray(mean + std * np.random.default_rng(0).normal(size=shape), jnp.float32)
    by_mean, by_std = np.array(scaler.moments)
    m, s = (mean - by_mean) / by_std, std / by_std  # of x
    score = lambda x, t: -(x - SDE.alpha(t) * m) / (SDE.alpha(t) ** 2 * s**2 + SDE.sigma(t) ** 2)
    options = config("evaluate.probes=0", "evaluate.bound_times=64", "evaluate.tolerance=1e-5").evaluate
    bits = bits_of(SDE, score, scaler, lambda key, k: (scaler.place(k, 0.5), 0.0), options)
    many = jax.jit(jax.vmap(bits, (0, None)))(jax.random.split(jax.random.key(0), 200), k)
    exact = -norm.logpdf(np.asarray(k), mean, std).mean() / math.log(2)
    assert float(many.flow.mean()) == pytest.approx(exact, abs=2e-3)
    close(many.bound, exact, 2e-2)


def test_points_have_no_cells():
    """What only levels have is a problem of points, one line each; of levels it is none."""
    asked = "evaluate.dequantizer=variational", "evaluate.draws=4"
    assert idle_problems(config(*asked)) == []
    dequantized, first, second = idle_problems(config("data.levels=0", *asked))
    assert dequantized.startswith("data.dequantize = True would change nothing: floats")
    assert first.startswith("evaluate.dequantizer = 'variational' would change nothing: floats")
    assert second.startswith("evaluate.draws = 4 would change nothing: floats")
    assert idle_problems(config("data.levels=0", "data.dequantize=False")) == []


@pytest.mark.parametrize("asked", ["most", "-1", "2.5", "True"])
def test_a_number_of_examples_or_all(asked):
    assert (
        "give a number of held-out examples"
        in schema_problems(read_config("configs/digits/vp.py", [f"--config.evaluate.likelihood={asked}"]))[0]
    )


@pytest.mark.slow
def test_bits_from_where_the_network_was_trained(experiment):
    """evaluate.t_min = 0.3 leaves out what is below: the flow gives the density at t = 0.3, and the bound begins there."""
    made = experiment("evaluate.t_min=0.3")
    early, whole = (measure_bits(m, (), Batch(TEST[:2])) for m in (made, experiment()))
    assert np.abs(early.flow - whole.flow).min() > 1e-2
    assert np.abs(early.bound - whole.bound).min() > 1e-3
    x, pixel_score = made.scaler.place(jnp.asarray(TEST[0]), 0.5), made.score(())
    assert float(log_prob(made.sde, pixel_score, x, t_min=0.3)) != pytest.approx(float(log_prob(made.sde, pixel_score, x)))


def test_a_single_example_has_no_spread(recwarn):
    """The standard error of one loss or one likelihood is nan, without numpy's warning; that of two is |a - b|/2."""
    x = np.array([[1.0, 2.0, 5.0], [3.0, 2.0, 1.0]])
    np.testing.assert_allclose(standard_error(x), [1, 0, 2])
    assert np.isnan(standard_error(x[:1])).tolist() == [True] * 3
    assert np.isnan(mean_and_error(x[0, :1])["std_error"])
    assert not list(recwarn)
