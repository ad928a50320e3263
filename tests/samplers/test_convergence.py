"""The order of every solver, in float64, against Gaussian data, where flow and law are known in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sdes import KIN, exported, linear
from slow import one_in, slow_for

from samplers import (
    ancestral,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_2s,
    dpmpp_3m,
    edm_heun,
    euler_maruyama,
    heun,
    log_snr_grid,
    reverse_diffusion,
    sample,
    unipc,
)
from sde_lib import GeometricVPSDE, TableVPSDE, fast_random
from sde_lib.base import coordinates

MEAN, VARIANCE = np.array([0.5, -1.0, 0.2]), np.array([0.04, 0.5, 2.0])
FLOW = {
    "ddim": (ddim, 1),
    "heun": (heun, 2),
    "edm_heun": (edm_heun, 2),
    "dpmpp_2s": (dpmpp_2s, 2),
    "dpmpp_2m": (dpmpp_2m, 2),
    "deis 2": (partial(deis, order=2), 2),
    "deis 3": (partial(deis, order=3), 3),
    "deis 4": (deis, 3),  # its first steps, with fewer values, are of lower order
    "dpmpp_3m": (dpmpp_3m, 3),
    "unipc 2": (partial(unipc, order=2), 3),
    "unipc 3": (unipc, 4),
}
"""Solvers of the probability flow, and the order that each claims. UniPC's corrector adds one to its predictor's."""
NOISY = {
    "euler_maruyama": (euler_maruyama, 1),
    "reverse_diffusion": (reverse_diffusion, 1),
    "ancestral": (ancestral, 1),
    "ddim 0.5": (partial(ddim, eta=0.5), 1),
    "edm_heun": (partial(edm_heun, churn=0.05), 2),
    "dpmpp_2m 1": (partial(dpmpp_2m, eta=1.0), 1),
    "dpmpp_3m 1": (partial(dpmpp_3m, eta=1.0), 1),
}
"""Stochastic solvers, and the weak order of each."""


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


SDES = linear(exported(3)) | {"GeometricVPSDE": GeometricVPSDE(sigma2_max=1 - 4e-5)}
"""They leave nothing of the data at t = 1: else the flow bends from the start, and a first step, of order 1, shows."""


@pytest.fixture(params=SDES, ids=list(SDES))
def sde(request):
    return SDES[request.param]


def marginal(sde, t):
    """Mean and variance of x_t."""
    return sde.alpha(t) * MEAN, sde.alpha(t) ** 2 * VARIANCE + sde.sigma(t) ** 2


def score(sde):
    return lambda x, t: -(x - marginal(sde, t)[0]) / marginal(sde, t)[1]


def flow(sde, x, t, s):
    """The closed-form probability flow: (x - mean)/std is constant."""
    (mean_t, var_t), (mean_s, var_s) = marginal(sde, t), marginal(sde, s)
    return mean_s + jnp.sqrt(var_s / var_t) * (x - mean_t)


def slope(errors, ns):
    """The power p of error ~ n^-p, from the first to the last n."""
    return float(np.log(errors[0] / errors[-1]) / np.log(ns[-1] / ns[0]))


def smooth(sde, name):
    """Whether a solver in t can show its order: a table's drift jumps at the knots; solvers in log-SNR do not see it."""
    return not (isinstance(sde, TableVPSDE) and name == "heun")


@slow_for(*KIN)
@one_in(4)
@pytest.mark.parametrize("name", FLOW)
def test_order_along_the_flow(sde, name):
    """The error from t = 1 to SNR 10 falls at least as n^-order."""
    step, order = FLOW[name]
    if not smooth(sde, name):
        pytest.skip("the drift of a table jumps at its knots")
    ns = (96, 192, 384) if coordinates(sde) else (24, 48, 96)  # with fewer the error of one coordinate passes through 0
    x = marginal(sde, 1.0)[0] + jnp.sqrt(marginal(sde, 1.0)[1]) * jnp.array([0.7, -1.0, 1.3])
    run = jax.jit(lambda grid: sample(jax.random.key(0), step(sde, score(sde)), x, grid)[0])
    errors = []
    for n in ns:
        grid = jnp.pad(log_snr_grid(sde, n, log_snr_max=np.log(10.0)), (0, ns[-1] - n), mode="edge")
        errors.append(float(jnp.linalg.norm(run(grid) - flow(sde, x, 1.0, grid[-1]))))
    assert slope(errors, ns) > order - 0.25, errors


@one_in(2)
@slow_for(*KIN, "VESDE", "Straight")
@pytest.mark.parametrize("name", NOISY)
def test_weak_order(sde, name, monkeypatch):
    """Mean and variance of what a sampler returns, exactly: x_s is affine in x_1 and in every z, so the Jacobian tells all."""
    step, order = NOISY[name]

    def run(n):
        grid = jnp.asarray(log_snr_grid(sde, n, log_snr_max=np.log(10.0)))
        solver, now = step(sde, score(sde)), {}
        monkeypatch.setattr(fast_random, "normal", lambda key, shape, dtype=None: now["z"])

        def end(x, z):
            def move(carry, at):
                t, s, now["z"] = at
                return solver.update(jax.random.key(0), *carry, t, s), None

            return jax.lax.scan(move, (x, solver.init(x)), (grid[:-1], grid[1:], z))[0][0]

        @jax.jit
        def moments():
            mean, var = marginal(sde, 1.0)
            of_x, of_z = jax.jacrev(end, (0, 1))(mean, jnp.zeros((n, 3)))
            return end(mean, jnp.zeros((n, 3))), of_x**2 @ var + jnp.sum(of_z**2, (1, 2))

        exact = marginal(sde, grid[-1])
        return float(sum(jnp.linalg.norm((a - b) / jnp.sqrt(exact[1])) for a, b in zip(moments(), exact, strict=True)))

    ns = (12, 36)
    errors = [run(n) for n in ns]
    assert slope(errors, ns) > order - 0.25, errors
