"""Steps as values: `draw` is the loop that one would write, and a step says truly whether it draws noise and moves x."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import pytest
from oracle import GAUSSIAN
from slow import one_in

import samplers
from samplers.step import stateless
from sde_lib import CLD, VESDE, VPSDE

STEPS = [step.__name__ for step in samplers.STEPS if step is not samplers.sscs]
OPTIONS = {
    "ddim": {"eta": 0.5},
    "deis": {"eta": 0.1},
    "dpmpp_2m": {"eta": 1.0},
    "dpmpp_3m": {"eta": 1.0},
    "edm_heun": {"churn": 0.1},
}
"""Those under which a deterministic step draws noise."""
CASES = [*product((VPSDE(), VESDE()), [(name, {}) for name in STEPS] + list(OPTIONS.items())), (CLD(), ("sscs", {}))]


def reads(step, argument):
    """Whether the update uses its argument of that number: 0 is the key, -1 is s."""
    x = jnp.ones(2)
    traced = jax.make_jaxpr(step.update, axis_env=[("batch", 1)])(jax.random.key(0), x, step.init(x), 1.0, 0.5).jaxpr
    return any(variable is traced.invars[argument] for equation in traced.eqns for variable in equation.invars)


@pytest.mark.parametrize(
    ("sde", "case"), CASES, ids=[f"{name}{options or ''}-{type(sde).__name__}" for sde, (name, options) in CASES]
)
def test_a_step_says_what_it_reads(sde, case):
    """`stochastic`: it uses its key. `corrector`: it does not use s."""
    name, options = case
    step = getattr(samplers, name)(sde, lambda x, t: -x, **options)
    assert step.stochastic == reads(step, 0)
    assert step.corrector == (not reads(step, -1))


def test_a_chain_is_stochastic_if_any_step_is_and_a_corrector_if_all_are():
    sde = VPSDE()
    langevin, ddim, ancestral = (
        getattr(samplers, name)(sde, GAUSSIAN.score(sde)) for name in ("langevin", "ddim", "ancestral")
    )
    facts = lambda *steps: (samplers.chain(*steps).stochastic, samplers.chain(*steps).corrector)
    assert facts(langevin, langevin) == (True, True)
    assert facts(langevin, ddim) == facts(ancestral, ddim) == (True, False)
    assert facts(ddim, ddim) == (False, False)


def test_a_transformed_step_says_so_too():
    """Inpainting and resampling draw noise around a deterministic step; a gradient step does not."""
    sde, score = VPSDE(), GAUSSIAN.score(VPSDE())
    ddim = samplers.ddim(sde, score)
    inpaint = samplers.inpaint(ddim, sde, jnp.ones(2), jnp.array([True, False]))
    resample, dps = samplers.resample(ddim, sde, 2), samplers.dps(ddim, sde, score, lambda x: x[:1], jnp.ones(1), 0.1)
    for step in (inpaint, resample, dps):
        assert step.stochastic == reads(step, 0)
    assert [inpaint.stochastic, resample.stochastic, dps.stochastic] == [True, True, False]


def test_a_traced_eta_may_draw_noise():
    seen = []
    jax.jit(lambda eta: seen.append(samplers.ddim(VPSDE(), GAUSSIAN.score(VPSDE()), eta).stochastic) or eta)(0.0)
    assert seen == [True]


@one_in(9)
@pytest.mark.parametrize("final", [False, True], ids=["plain", "denoised"])
def test_draw_is_the_loop_from_the_prior(sde, final):
    """The same bits as x_1 from one half of the key, and `solve` with the other."""
    score = GAUSSIAN.score(sde)
    step, grid = samplers.euler_maruyama(sde, score), samplers.uniform_grid(sde, 5, t_min=0.01)
    final = partial(sde.denoise, score) if final else None

    def by_hand(key):
        prior_key, step_key = jax.random.split(key)
        x = sde.prior_sample(prior_key, (2,))
        for move_key, t, s in zip(jax.random.split(step_key, 5), grid[:-1], grid[1:], strict=True):
            x, _ = step.update(move_key, x, step.init(x), t, s)
        return x if final is None else final(x, grid[-1])

    drawn = samplers.draw(jax.random.key(3), sde, step, grid, (2,), final)
    assert jnp.allclose(drawn.x, by_hand(jax.random.key(3)), rtol=1e-5, atol=1e-5)

    def solved(key):
        prior_key, step_key = jax.random.split(key)
        return samplers.solve(step_key, step, sde.prior_sample(prior_key, (2,)), grid, final)

    for a, b in zip(drawn, solved(jax.random.key(3)), strict=True):
        assert jnp.array_equal(a, b)
    draw = lambda key: samplers.draw(key, sde, step, grid, (2,), final)
    assert str(jax.make_jaxpr(draw)(jax.random.key(3))) == str(jax.make_jaxpr(solved)(jax.random.key(3)))
    assert drawn.nfe == 5 + (final is not None)


def test_draw_without_a_move_is_the_prior():
    """x_1 ~ N(prior_mean, sigma(1)^2), by its first two moments."""
    sde = VESDE()
    x = jax.vmap(lambda key: samplers.draw(key, sde, stateless(lambda key, x, t, s: x, 0), jnp.ones(2), (2,)).x)(
        jax.random.split(jax.random.key(0), 4096)
    )
    assert jnp.abs(x.mean() / sde.sigma(1.0)) < 0.05
    assert jnp.abs(x.std() / sde.sigma(1.0) - 1) < 0.05
