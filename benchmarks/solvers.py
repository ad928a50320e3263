"""Endpoint error against NFE under exact scores: this library's fast solver, and every solver of diffusers and k-diffusion.

python -m benchmarks.solvers --out runs/solvers [--workers N] [--held-out]     (needs `make .venv/bench`)

The figure of a solver is the geometric mean, over the mixtures of `benchmarks.common.problems`, of the median over starts of
the root-mean-square distance per dimension to the endpoint of the flow, in float64. Ours is one configuration at every NFE; the
peer beside it is the best of all theirs at that NFE, chosen after the fact. On VE and sub-VP, which they lack, ours alone.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from benchmarks.common.problems import Mixture, held_out, mixtures
from benchmarks.peers.solvers import S_MAX, peers
from samplers import arctan_grid, deis, dpmpp_2m, dpmpp_3m, heun, log_snr_grid, sample, unipc
from sde_lib import VESDE, VPSDE, LinearSDE, SubVPSDE

jax.config.update("jax_enable_x64", True)

NFES = (5, 8, 10, 15, 20, 35, 50)
FAST = "deis, arctan grid"
OURS = {
    FAST: (deis, partial(arctan_grid, t_min=0.0), 1),
    "unipc 3, log-SNR grid": (unipc, partial(log_snr_grid, log_snr_max=14.0), 1),
    "dpmpp_3m, log-SNR grid": (dpmpp_3m, partial(log_snr_grid, log_snr_max=14.0), 1),
    "dpmpp_2m, log-SNR grid": (dpmpp_2m, partial(log_snr_grid, log_snr_max=14.0), 1),
    "heun, log-SNR grid": (heun, partial(log_snr_grid, log_snr_max=14.0), 2),
}
"""Step, grid, and evaluations a step."""
SDES = {"VP": VPSDE(), "sub-VP": SubVPSDE(), "VE": VESDE()}
Errors = dict[str, list[float | None]]


def distance(y: np.ndarray, exact: np.ndarray) -> float:
    """The median over examples of the root mean square over dimensions."""
    return float(np.median(np.sqrt(np.mean((y - exact) ** 2, axis=1))))


def starts(mixture: Mixture, s: float) -> np.ndarray:
    """y ~ N(0, (1 + s^2) I) at the noisiest s [n, D]: on VP, x_1 of unit variance."""
    return np.random.default_rng(0).standard_normal((mixture.n, mixture.means.shape[1])) * math.hypot(1, s)


def ours(mixture: Mixture, sde: LinearSDE) -> Errors:
    """Errors at each NFE of every solver of `OURS`, along its own grid, to the end of its grid."""
    top = float(jnp.exp(-sde.log_snr(1.0) / 2))
    y = starts(mixture, top)
    score = lambda x, t: -mixture.eps(x[None] / sde.alpha(t), sde.sigma(t) / sde.alpha(t), jnp)[0] / sde.sigma(t)
    by_label: Errors = {}
    for label, (step, grid, nfe) in OURS.items():
        run = jax.jit(jax.vmap(lambda x, grid, step=step: sample(jax.random.key(0), step(sde, score), x, grid)[0], (0, None)))
        longest, errors = max(NFES) // nfe + 1, []
        for n in NFES:
            times = grid(sde, n // nfe)
            end = float(sde.sigma(times[-1]) / sde.alpha(times[-1]))
            x = run(y * sde.alpha(1.0), jnp.pad(times, (0, longest - len(times)), mode="edge"))
            errors.append(distance(np.asarray(x / sde.alpha(times[-1])), mixture.flow(y, top, max(end, 1e-7))[0]))
        by_label[label] = errors
    return by_label


def theirs(mixture: Mixture) -> Errors:
    """Errors at each NFE of every deterministic peer on VP."""
    y = starts(mixture, S_MAX)
    exact = mixture.flow(y, S_MAX, 1e-7)[0]
    return of_peers(mixture, y, stochastic=False, measure=lambda y: distance(y, exact))


def of_peers(mixture: Mixture, y: np.ndarray, stochastic: bool, measure: Callable[[np.ndarray], float]) -> Errors:
    """`measure` at each NFE of every such peer on VP from y at `S_MAX`, None if it has no setting of that cost."""
    carried = {S_MAX: y}

    def start(s: float) -> np.ndarray:
        if s not in carried:
            carried[s] = mixture.flow(y, S_MAX, s)[0]
        return carried[s]

    error = lambda peer: lambda n: measure(peer.run(mixture.eps, start, n, 0))
    return {p.label: [or_none(error(p), n) for n in NFES] for p in peers() if p.stochastic == stochastic}


def or_none(measure: Callable[[int], float], n: int) -> float | None:
    """`measure(n)`; None if a peer refuses the budget or its result is not finite."""
    try:
        error = measure(n)
    except (ValueError, IndexError, AssertionError, RuntimeError, ZeroDivisionError):
        return None
    return error if math.isfinite(error) else None


def measured(mixture: Mixture) -> dict[str, Errors]:
    """All errors on one mixture: ours on each SDE, and the peers'."""
    return {name: ours(mixture, sde) for name, sde in SDES.items()} | {"peers": theirs(mixture)}


def each(measure: Callable[[Mixture], Any], chosen: Sequence[Mixture], workers: int | None) -> list[Any]:
    """`measure` of each mixture, in processes of one thread, the largest first."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), one_thread) as pool:
        pending = [pool.submit(measure, mixture) for mixture in reversed(chosen)]
        return [future.result() for future in reversed(pending)]


def one_thread() -> None:
    """A process for each mixture is the better use of the cores."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def protocol(chosen: Sequence[Mixture]) -> dict[str, Any]:
    """Returns what the numbers depend on."""
    return {
        "mixtures": {m.name: {"dimensions": m.means.shape[1], "starts": m.n} for m in chosen},
        "schedule": "VP beta 0.1 to 20; VE sigma 0.01 to 50",
        "versions": {name: version(name) for name in ("jax", "diffusers", "k-diffusion", "torch")},
    }


def mean(errors: list[Errors], label: str) -> list[float | None]:
    """The geometric mean over mixtures at each NFE; None where one is missing."""
    columns = zip(*(e[label] for e in errors), strict=True)
    return [math.exp(sum(map(math.log, c)) / len(c)) if all(c) else None for c in columns]


def table(results: list[dict[str, Errors]]) -> dict[str, Any]:
    """Ours on each SDE, the best peer at each NFE with its name, and their ratio."""
    means = {sde: {label: mean([r[sde] for r in results], label) for label in OURS} for sde in SDES}
    every = {label: mean([r["peers"] for r in results], label) for label in results[0]["peers"]}
    best = []
    for i, nfe in enumerate(NFES):
        label, error = min(((k, v[i]) for k, v in every.items() if v[i] is not None), key=lambda pair: pair[1])
        fast = means["VP"][FAST][i]
        best.append({"nfe": nfe, "ours": fast, "peer": error, "ratio": fast / error, "label": label})
    return {"best": best, "ours": means, "peers": every}


def plot(summary: dict[str, Any], path: Path) -> None:
    """Error against NFE: our solvers on VP, the fast one on the other SDEs, and the envelope and the five best of the peers."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained", dpi=140)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="score evaluations (NFE)", ylabel="median error at the data")
    axes.set_xticks(NFES, [str(n) for n in NFES])
    axes.minorticks_off()
    whole = {k: v for k, v in summary["peers"].items() if None not in v}
    for label in sorted(whole, key=lambda k: sum(map(math.log, whole[k])))[:30]:
        axes.plot(NFES, whole[label], color="#ccc", lw=0.8, zorder=1)
    axes.plot([], [], color="#ccc", lw=0.8, label="the 30 best single peers")
    peer = [row["peer"] for row in summary["best"]]
    axes.plot(NFES, peer, color="#444", ls="--", lw=1.6, label=f"best of {len(summary['peers'])} peers at each NFE")
    for label, errors in summary["ours"]["VP"].items():
        axes.plot(NFES, errors, lw=2.4 if label == FAST else 1.1, marker="o" if label == FAST else None, ms=4, label=label)
    for name in ("sub-VP", "VE"):
        axes.plot(NFES, summary["ours"][name][FAST], lw=1.2, ls=":", label=f"{FAST}; {name}")
    axes.legend(fontsize=7.5, frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, help="processes; one for each core by default")
    parser.add_argument("--held-out", action="store_true", help="the mixtures on which nothing was chosen")
    arguments = parser.parse_args()
    chosen = held_out() if arguments.held_out else mixtures()
    results = each(measured, chosen, arguments.workers)
    summary = table(results)
    arguments.out.mkdir(parents=True, exist_ok=True)
    by_mixture = {mixture.name: result for mixture, result in zip(chosen, results, strict=True)}
    text = json.dumps({"protocol": protocol(chosen), **summary, "by_mixture": by_mixture}, indent=1)
    (arguments.out / "solvers.json").write_text(text)
    plot(summary, arguments.out / "solvers.png")
    print("| NFE | ours | best peer | ratio | which |\n|---|---|---|---|---|")
    for row in summary["best"]:
        print("| {nfe} | {ours:.2e} | {peer:.2e} | {ratio:.2f} | {label} |".format(**row))
    for name in ("sub-VP", "VE"):
        print(f"{name}:", "  ".join(f"{e:.2e}" for e in summary["ours"][name][FAST]))


if __name__ == "__main__":
    main()
