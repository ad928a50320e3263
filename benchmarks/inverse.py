"""Pi-GDM and DPS against the exact posterior of y = A x_0 + std n, under the exact score of a Gaussian.

python -m benchmarks.inverse --out runs/inverse [--steps 50 200 1000] [--samples 512]

The data are N(m, C), with the mean and covariance of scikit-learn's 8 x 8 digits in [-1, 1]: the laws of x_t and of x_0
given y are exact, and no network errs. Samples are by `ancestral`, DDPM's step, which is theirs, on a log-SNR grid.

The error of their mean is its distance in deviations of the posterior, (tr S)^(1/2); that of their covariance is its distance
over |S|, both Frobenius. Beside them stand three others: the exact posterior score by the same steps (the step's own error), as
many exact samples (chance), and the data without y. DPS is at the best of several zeta, at each number of steps
its own, by the 2-Wasserstein distance of Gaussians; Pi-GDM at the variance of the data and at 1, the paper's: nothing chosen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits

from benchmarks.common import markdown
from benchmarks.common.machine import circumstances
from samplers import ancestral, dps, log_snr_grid, pi_gdm, solve
from sde_lib import VESDE, VPSDE, Score, SubVPSDE
from sde_lib.base import SDE

SDES = {"VP": VPSDE(), "VE": VESDE(), "sub-VP": SubVPSDE()}
ZETAS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
STD, MEASUREMENTS, T_MIN = 0.1, 4, 1e-3


class Gaussian(NamedTuple):
    """N(mean [d], V diag(variances [d]) V^T)."""

    mean: np.ndarray
    V: np.ndarray
    variances: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        return self.V * self.variances @ self.V.T

    def score(self, sde: SDE) -> Score:
        """-V (alpha^2 variances + sigma^2)^-1 V^T (x - alpha m)."""
        return lambda x, t: (
            -self.V @ (self.V.T @ (x - sde.alpha(t) * self.mean) / (sde.alpha(t) ** 2 * self.variances + sde.sigma(t) ** 2))
        )

    def posterior(self, A: np.ndarray, y: np.ndarray) -> Gaussian:
        """Returns the law of x_0 given y: S = (C^-1 + A^T A/std^2)^-1, mean m + S A^T (y - A m)/std^2."""
        values, W = np.linalg.eigh(self.V / self.variances @ self.V.T + A.T @ A / STD**2)
        return Gaussian(self.mean + W / values @ W.T @ A.T @ (y - A @ self.mean) / STD**2, W, 1 / values)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Returns n draws [n, d]."""
        return self.mean + rng.standard_normal((n, len(self.mean))) * np.sqrt(self.variances) @ self.V.T


def digits() -> Gaussian:
    """Returns the law of all 1,797, with 1e-3 more variance in every direction, since some pixels are always black."""
    x = load_digits(return_X_y=True)[0] / 8 - 1
    variances, V = np.linalg.eigh(np.cov(x.T) + 1e-3 * np.eye(64))
    return Gaussian(x.mean(0), V, variances)


def matrix(measure: Callable[[jax.Array], jax.Array]) -> np.ndarray:
    """Returns A [m, 64] of a measurement of images [8, 8]."""
    return np.asarray(jax.vmap(lambda x: measure(x.reshape(8, 8)).ravel())(jnp.eye(64)), float).T


TASKS = {
    "upper half": matrix(lambda x: x[:4]),
    "means of 2 x 2": matrix(lambda x: x.reshape(4, 2, 4, 2).mean((1, 3))),
    "3 x 3 blur": matrix(lambda x: jax.scipy.signal.convolve2d(x, jnp.ones((3, 3)) / 9, mode="same")),
}


def errors(means: np.ndarray, covariance: np.ndarray, exact: list[Gaussian]) -> dict[str, float]:
    """Returns the errors of one mean for each y (root mean square) and of the covariance that they share."""
    S, root = exact[0].covariance, exact[0].V * np.sqrt(exact[0].variances) @ exact[0].V.T
    off = np.mean([np.sum((mean - of_y.mean) ** 2) for mean, of_y in zip(means, exact, strict=True)])
    bures = np.trace(S + covariance - 2 * np.real(sqrtm(root @ covariance @ root)))
    return {
        "mean": float(np.sqrt(off / np.trace(S))),
        "covariance": float(np.linalg.norm(covariance - S) / np.linalg.norm(S)),
        "wasserstein": float(np.sqrt((off + max(bures, 0)) / np.trace(S))),
    }


def of_samples(x: np.ndarray, exact: list[Gaussian]) -> dict[str, float]:
    """Returns the errors of samples [measurements, n, d]; infinite if a number is not finite."""
    if not np.isfinite(x).all():
        return dict.fromkeys(("mean", "covariance", "wasserstein"), float("inf"))
    x = x.astype(float)
    return errors(x.mean(1), np.mean([np.cov(of_y.T) for of_y in x], axis=0), exact)


def measured(data: Gaussian, A: np.ndarray, sde: SDE, steps: list[int], n: int) -> dict[str, Any]:
    """Returns the errors of every method at every number of steps, by one compiled program for each method."""
    rng = np.random.default_rng(0)
    ys = data.sample(rng, MEASUREMENTS) @ A.T + STD * rng.standard_normal((MEASUREMENTS, len(A)))
    exact = [data.posterior(A, y) for y in ys]
    f32 = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)
    score, means = f32(data).score(sde), f32(np.stack([of_y.mean for of_y in exact]))
    measure = lambda x: f32(A) @ x
    plain = ancestral(sde, score)
    make = {
        "exact score": lambda y, mean, _: ancestral(sde, f32(exact[0])._replace(mean=mean).score(sde)),
        "Pi-GDM": lambda y, _, sigma_data: ancestral(sde, pi_gdm(sde, score, measure, y, STD, (64,), sigma_data)),
        "DPS": lambda y, _, zeta: dps(plain, sde, score, measure, y, zeta),
    }

    def run(name: str) -> Callable[..., jax.Array]:
        def one(key, y, mean, option, grid):
            prior_key, step_key = jax.random.split(key)
            return solve(step_key, make[name](y, mean, option), sde.prior_sample(prior_key, (64,)), grid).x / sde.alpha(
                grid[-1]
            )

        over_samples = jax.vmap(one, (0, None, None, None, None))
        return jax.jit(jax.vmap(over_samples, (0, 0, 0, None, None)))

    runs, keys = {name: run(name) for name in make}, jax.random.split(jax.random.key(1), (MEASUREMENTS, n))
    own = float(np.sqrt(np.mean(data.variances)))
    results: dict[str, Any] = {
        "without y": errors(np.broadcast_to(data.mean, (MEASUREMENTS, 64)), data.covariance, exact),
        "exact samples": of_samples(np.stack([of_y.sample(rng, n) for of_y in exact]), exact),
        "steps": {},
    }
    for count in steps:
        times = log_snr_grid(sde, count, max(sde.t_min, T_MIN))
        grid = jnp.pad(times, (0, max(steps) - count), mode="edge")
        at = lambda name, option, grid=grid: of_samples(np.asarray(runs[name](keys, f32(ys), means, option, grid)), exact)
        results["steps"][count] = {
            "exact score": at("exact score", 0.0),
            "Pi-GDM, v of the data": at("Pi-GDM", own),
            "Pi-GDM, v = 1": at("Pi-GDM", 1.0),
            "DPS": {zeta: at("DPS", zeta) for zeta in ZETAS},
        }
    return results


def table(results: dict[str, dict[str, Any]]) -> str:
    """Returns a row for every measurement, SDE and number of steps; the best zeta in brackets."""
    head = ("y", "SDE", "steps", "exact score", "Pi-GDM, v of the data", "Pi-GDM, v = 1", "DPS", "exact samples", "without y")
    rows = []
    cell = lambda error: f"{error['mean']:.2f}, {error['covariance']:.2f}"
    for task, of_task in results.items():
        for sde, of_sde in of_task.items():
            for count, row in of_sde["steps"].items():
                zeta, best = min(row["DPS"].items(), key=lambda pair: pair[1]["wasserstein"])
                cells = (cell(row[name]) for name in head[3:6])
                ends = (f"{cell(best)} ({zeta})", cell(of_sde["exact samples"]), cell(of_sde["without y"]))
                rows.append((task, sde, str(count), *cells, *ends))
    return markdown.table(head, rows)


def main() -> None:
    """Measures every task on every SDE, and writes inverse.json and inverse.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--samples", type=int, default=512, help=f"for each of {MEASUREMENTS} y")
    line = parser.parse_args()
    line.out.mkdir(parents=True, exist_ok=True)
    data, results, began = digits(), {}, time.monotonic()
    for task, A in TASKS.items():
        results[task] = {}
        for name, sde in SDES.items():
            results[task][name] = measured(data, A, sde, line.steps, line.samples)
            print(f"{task}, {name}: done at {time.monotonic() - began:.0f} s", flush=True)
    protocol = {
        "data": "Gaussian of the mean and covariance of scikit-learn's digits in [-1, 1], and 1e-3 I",
        "measurements": f"{MEASUREMENTS} y of draws of the data, std {STD}",
        "samples": f"{line.samples} for each y, the same noise for every method",
        "step": f"ancestral on log_snr_grid to t = {T_MIN} (VE: 0), divided by its alpha, float32",
        "zetas": ZETAS,
        **circumstances("numpy", "scipy", "scikit-learn"),
        "seconds": time.monotonic() - began,
    }
    (line.out / "inverse.json").write_text(json.dumps({"protocol": protocol, "errors": results}, indent=1))
    (line.out / "inverse.md").write_text(table(results) + "\n")
    print(f"mean, covariance (zeta)\n{table(results)}")


if __name__ == "__main__":
    main()
