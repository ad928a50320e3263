"""The measurements: the law of a sampler's draws, the order of a deterministic one, and the error of a likelihood.

An adapter lists `Sampler`s and `Likelihood`s of its package and calls `report`, which measures them all and writes the
figures to the file that is the first argument of its process. Needs numpy and scipy alone.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.public.laws import LAWS, MIXTURE, Law, Level, floor

N = 32_768
"""Numbers in the draws of a law."""
REFINEMENTS = (8, 16, 32, 64, 128)
"""Steps at which a deterministic sampler's error is measured."""


class Draws(NamedTuple):
    """The result of a sampler: x, of the `level` that it ends at, and of a deterministic one the `start` at its level `top`.

    `last`: the level from which the sampler's last step is one of denoising, whatever its number of steps.
    """

    x: Any
    level: Level = (1.0, 0.0)
    start: Any = None
    top: Level | None = None
    last: Level | None = None

    def exact(self, law: Law) -> np.ndarray:
        """Returns the place to which a solver without error would have taken `start`."""
        assert self.top is not None
        y = law.flow(numbers(self.start), self.top, self.last or self.level)
        return law.denoised(y, *self.last, np) if self.last else y


class Sampler(NamedTuple):
    """A sampler as the package's users call it.

    `draw(law, n, steps, seed)` gives at least n numbers by the law's exact score. The law is measured at each of `steps`: what
    the package's users take, and more. `order` is that of convergence, None for a stochastic sampler. `note` says what the
    source does, if the sampler is off; it starts with "bug", "convention", "approximation" or "limit".
    """

    name: str
    draw: Callable[[Law, int, int, int], Draws]
    steps: Sequence[int] = (100, 400)
    order: int | None = None
    note: str = ""


class Likelihood(NamedTuple):
    """log p of events x [B, D] by the exact score: `log_prob(law, x, seed)` is [B], at the `level` of its earliest time."""

    name: str
    log_prob: Callable[[Law, np.ndarray, int], Any]
    level: Level = (1.0, 0.0)
    note: str = ""


def law_of(sampler: Sampler, law: Law, steps: int) -> dict[str, float]:
    """Returns errors of mean and std in units of the law's std, with their standard errors, and W_2 in the same unit."""
    draws = sampler.draw(law, N, steps, 0)
    x, exact = numbers(draws.x), law.at(draws.level)
    if not np.isfinite(x).all():
        raise FloatingPointError(f"{np.mean(~np.isfinite(x)):.0%} of the draws are not finite")
    unit = exact.std()
    return {
        "n": x.size,
        "mean": (x.mean() - exact.mean()) / unit,
        "mean_se": x.size**-0.5,
        "std": x.std() / unit - 1,
        "std_se": float(np.sqrt(np.mean(((x - x.mean()) / x.std()) ** 4) - 1) / 2 / x.size**0.5),
        "distance": exact.distance(x) / unit,
        "floor": floor(exact, x.size) / unit,
    }


def errors_of(sampler: Sampler, law: Law = MIXTURE) -> dict[int, float]:
    """Returns the mean distance of x to where the exact flow leads, in units of the law's std, at each number of steps."""
    errors = {}
    for steps in REFINEMENTS:
        draws = sampler.draw(law, 2048, steps, 1)
        errors[steps] = float(np.mean(np.abs(numbers(draws.x) - draws.exact(law)))) / law.std()
    return errors


def likelihood_of(likelihood: Likelihood, law: Law) -> dict[str, float]:
    """Returns the mean error in nats for each number of an event, its standard error, and the root mean square."""
    x = law.sample(np.random.default_rng(2), (256, 4))
    error = numbers(likelihood.log_prob(law, x, 0)) - law.at(likelihood.level).log_prob(x).sum(axis=1)
    if not np.isfinite(error).all():
        raise FloatingPointError(f"{np.mean(~np.isfinite(error)):.0%} of the log-densities are not finite")
    error = error / x.shape[1]
    return {"mean": error.mean(), "se": error.std() / len(error) ** 0.5, "rms": float(np.sqrt(np.mean(error**2)))}


def numbers(x: Any) -> np.ndarray:
    """x as a flat numpy array in float64."""
    x = x.detach().cpu().numpy() if hasattr(x, "detach") else x
    return np.asarray(x, np.float64).ravel()


def attempt(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Returns the result of `measure`, or the error that it raises, in one line."""
    try:
        return measure(*arguments)
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}


def report(package: str, samplers: Sequence[Sampler] = (), likelihoods: Sequence[Likelihood] = ()) -> None:
    """Measures all and writes them as JSON to the file that is the process's first argument."""
    figures: dict[str, Any] = {"package": package, "version": version(package), "samplers": {}, "likelihoods": {}}
    for sampler in samplers:
        begin = time.perf_counter()
        figures["samplers"][sampler.name] = {
            "law": {law.name: {n: attempt(law_of, sampler, law, n) for n in sampler.steps} for law in LAWS},
            "errors": attempt(errors_of, sampler) if sampler.order else None,
            "order": sampler.order,
            "note": sampler.note,
        }
        print(f"{package}: {sampler.name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    for likelihood in likelihoods:
        of = {law.name: attempt(likelihood_of, likelihood, law) for law in LAWS}
        figures["likelihoods"][likelihood.name] = {"law": of, "note": likelihood.note}
    Path(sys.argv[1]).write_text(json.dumps(figures, indent=1))
