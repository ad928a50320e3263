"""Every SDE with Gaussian transitions on normal data, whose score, samples and density are exact: errors, and lines of code.

python -m benchmarks.oracles [--write docs/results.md]

The flow of normal data is affine, and so is a step of a solver on it, x_0 = A x_1 + b. So the law of the samples is known
without one sample: N(b + A m_1, A S_1 A^T), from p_1 = N(m_1, S_1). Its error is the largest of a mean, over the std, and of a
std, as a part of it, against p_t at the grid's end. That of the likelihood is the largest of 64
points', in nats for each number.
"""

from __future__ import annotations

import argparse
import ast
import inspect
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import multivariate_normal

import samplers
import sde_lib
from benchmarks.common.markdown import table
from benchmarks.common.marked import write_part

MEAN, STD = 0.5, 0.7
"""The mean and the std of each number of the data."""
SDES = (
    *(sde_lib.VPSDE(), sde_lib.VESDE(), sde_lib.EDMSDE(), sde_lib.SubVPSDE(), sde_lib.CosineVPSDE()),
    *(sde_lib.GeometricVPSDE(), sde_lib.LogLinearVPSDE(log_snr_min=-10.0), sde_lib.RectifiedFlowSDE(), sde_lib.ddpm_table()),
    *(sde_lib.BlurringSDE(sides=(2,), blur_max=1.0), sde_lib.PolynomialVPSDE(a=(0.5, 0.2), b=(-0.3, 0.1), c=(0.3, 0.6))),
    *(sde_lib.LearnedVPSDE(log_snr_min=-10.0), sde_lib.CLD()),
)
STEPS = 16, 64
POINTS = 64


class Law(NamedTuple):
    """N(mean [n], covariance [n, n]) of the numbers of an event."""

    mean: jax.Array
    covariance: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        return multivariate_normal.logpdf(x.ravel(), self.mean, self.covariance)

    def std(self) -> jax.Array:
        return jnp.sqrt(jnp.diag(self.covariance))


def marginal(sde: sde_lib.SDE, t: jax.Array) -> Law:
    """Returns p_t of an event: two numbers, or the variables of an AugmentedSDE, whose first one is the data."""
    if isinstance(sde, sde_lib.AugmentedSDE):
        P, L = sde.mean_factor(t), sde.noise_factor(t)
        return Law(MEAN * P[:, 0], L @ L.T + STD**2 * jnp.outer(P[:, 0], P[:, 0]))
    alpha, sigma = (jnp.broadcast_to(jnp.ravel(of(t)), (2,)) for of in (sde.alpha, sde.sigma))
    return Law(MEAN * alpha, jnp.diag((alpha * STD) ** 2 + sigma**2))


def shape(sde: sde_lib.SDE) -> tuple[int, ...]:
    """Returns the shape of an event."""
    return (1, sde.k) if isinstance(sde, sde_lib.AugmentedSDE) else jnp.shape(sde.alpha(0.5)) or (2,)


def errors(sde: sde_lib.SDE) -> list[float]:
    """Returns the error of the law at each of `STEPS`, and that of the likelihood."""
    of_event = shape(sde)
    score = lambda x, t: jax.grad(lambda x: marginal(sde, t).log_prob(x))(x)

    def of_law(n: int) -> float:
        grid = samplers.log_snr_grid(sde, n)
        step, start, end = samplers.heun(sde, score), marginal(sde, 1.0), marginal(sde, grid[-1])
        solve = lambda x: samplers.solve(jax.random.key(0), step, x.reshape(of_event), grid).x.ravel()
        A, b = jax.jit(jax.jacfwd(solve))(jnp.zeros_like(start.mean)), jax.jit(solve)(jnp.zeros_like(start.mean))
        law = Law(b + A @ start.mean, A @ start.covariance @ A.T)
        of_mean, of_std = jnp.abs(law.mean - end.mean) / end.std(), jnp.abs(law.std() / end.std() - 1)
        return float(jnp.maximum(of_mean, of_std).max())

    t = jnp.asarray(sde.t_min)
    exact, root = marginal(sde, t), jnp.linalg.cholesky(marginal(sde, t).covariance)
    z = jax.random.normal(jax.random.key(0), (POINTS, len(exact.mean)))
    x = (exact.mean + z @ root.T).reshape(POINTS, *of_event)
    log_prob = jax.jit(jax.vmap(lambda x: samplers.log_prob(sde, score, x, rtol=1e-5, atol=1e-5)))(x)
    return [*map(of_law, STEPS), float(jnp.abs(log_prob - jax.vmap(exact.log_prob)(x)).max()) / len(exact.mean)]


def lines(sde: sde_lib.SDE) -> int:
    """Returns the number of lines of the class without docstrings, comments and blank lines."""
    (tree,) = ast.parse(inspect.getsource(type(sde))).body
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return len(ast.unparse(tree).replace("\n\n", "\n").splitlines())


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def main() -> None:
    """Prints the table, or writes it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="a page whose marked part is replaced")
    words = parser.parse_args()
    header = ["SDE", "lines", *(f"law, {n} steps" for n in STEPS), "log p, nats"]
    rows = [[type(sde).__name__, str(lines(sde)), *(f"{np.float32(e):.1e}" for e in errors(sde))] for sde in SDES]
    print(text := table(header, rows) + "\n")
    if words.write:
        write_part(words.write, "benchmarks.oracles", text)


if __name__ == "__main__":
    main()
