"""Sliced Wasserstein distance against NFE under exact scores: our stochastic solver, and those of diffusers and k-diffusion.

python -m benchmarks.stochastic --out runs/stochastic [--workers N]        (needs `make .venv/bench`)

The distance is that of `N` samples to the exact quantiles of the five plane mixtures of `benchmarks.common.problems`, in 16
directions; the figure is the geometric mean over mixtures. Ours is one configuration at every NFE; the peer beside it is the
best of all theirs at that NFE, chosen after the fact. Exact samples are not at distance zero: their figure is the floor.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from benchmarks.common.problems import Mixture, mixtures
from benchmarks.peers.solvers import S_MAX
from benchmarks.solvers import NFES, Errors, each, mean, of_peers, protocol
from samplers import ancestral, arctan_grid, deis, dpmpp_2m, dpmpp_3m, log_snr_grid, sample
from sde_lib import VPSDE

N = 16_384
ANGLES = np.arange(16) * np.pi / 16
STOCHASTIC = "deis of order 3 at eta 0.15, arctan grid"
OURS = {
    STOCHASTIC: (partial(deis, order=3, eta=0.15), partial(arctan_grid, t_min=0.0)),
    "dpmpp_3m at eta 1, log-SNR grid": (partial(dpmpp_3m, eta=1.0), partial(log_snr_grid, log_snr_max=7.0)),
    "dpmpp_2m at eta 1, log-SNR grid": (partial(dpmpp_2m, eta=1.0), partial(log_snr_grid, log_snr_max=7.0)),
    "ancestral, log-SNR grid": (ancestral, partial(log_snr_grid, log_snr_max=7.0)),
}


def sliced(mixture: Mixture, x: np.ndarray) -> float:
    """(mean over directions of W_2^2 of the projections of x [n, 2] to those of the mixture)^(1/2), by exact quantiles."""
    squares, p = [], (np.arange(len(x)) + 0.5) / len(x)
    for w in np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1):
        mean, std = mixture.means @ w, np.sqrt(mixture.variances @ w**2)
        points = np.sort((mean + std * np.linspace(-6, 6, 801)[:, None]).ravel())
        quantiles = np.interp(p, norm.cdf((points[:, None] - mean) / std) @ mixture.weights, points)
        squares.append(np.mean((np.sort(x @ w) - quantiles) ** 2))
    return math.sqrt(np.mean(squares))


def noise(s: float) -> np.ndarray:
    """y at the noisiest s [N, 2]."""
    return np.random.default_rng(0).standard_normal((N, 2)) * math.hypot(1, s)


def ours(mixture: Mixture) -> Errors:
    """Distances at each NFE of every solver of `OURS`; x at the end is the network's x_0 where the grid stops short of it."""
    sde, keys = VPSDE(), jax.random.split(jax.random.key(1), N)
    x_1 = noise(float(jnp.exp(-sde.log_snr(1.0) / 2))) * sde.alpha(1.0)
    score = lambda x, t: -mixture.eps(x[None] / sde.alpha(t), sde.sigma(t) / sde.alpha(t), jnp)[0] / sde.sigma(t)
    by_label: Errors = {}
    for label, (step, grid) in OURS.items():
        run = jax.jit(jax.vmap(lambda key, x, times, step=step: sample(key, step(sde, score), x, times)[0], (0, 0, None)))
        times = [jnp.pad(grid(sde, n), (0, max(NFES) - n), mode="edge") for n in NFES]
        by_label[label] = [sliced(mixture, np.asarray(run(keys, x_1, t) / sde.alpha(t[-1]))) for t in times]
    return by_label


def measured(mixture: Mixture) -> dict[str, Errors]:
    """All distances on one mixture, and that of exact samples, over five seeds."""
    floor = [sliced(mixture, mixture.sample(np.random.default_rng(seed), N)) for seed in range(5)]
    theirs = of_peers(mixture, noise(S_MAX), stochastic=True, measure=partial(sliced, mixture))
    return {"ours": ours(mixture), "peers": theirs, "floor": {"exact samples": [float(np.mean(floor))]}}


def plot(rows: list[dict], means: Errors, floor: float, path: Path) -> None:
    """Distance against NFE: ours, the best peer at each NFE, and the floor."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained", dpi=140)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="score evaluations (NFE)", ylabel="sliced Wasserstein distance")
    axes.set_xticks(NFES, [str(n) for n in NFES])
    axes.minorticks_off()
    axes.plot(NFES, [row["peer"] for row in rows], color="#444", ls="--", label="best stochastic peer at each NFE")
    for label, distances in means.items():
        axes.plot(NFES, distances, lw=2.4 if label == STOCHASTIC else 1.1, label=label)
    axes.axhline(floor, color="#bbb", lw=0.8, label=f"{N} exact samples")
    axes.legend(fontsize=7.5, frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    plane = [mixture for mixture in mixtures() if mixture.means.shape[1] == 2]
    results = each(measured, plane, arguments.workers)
    means = {label: mean([r["ours"] for r in results], label) for label in OURS}
    every = {label: mean([r["peers"] for r in results], label) for label in results[0]["peers"]}
    floor = math.exp(np.mean([math.log(r["floor"]["exact samples"][0]) for r in results]))
    rows = []
    for i, nfe in enumerate(NFES):
        label, peer = min(((k, v[i]) for k, v in every.items() if v[i] is not None), key=lambda pair: pair[1])
        rows.append({"nfe": nfe, "ours": means[STOCHASTIC][i], "peer": peer, "label": label})
    arguments.out.mkdir(parents=True, exist_ok=True)
    summary = {"protocol": protocol(plane) | {"samples": N}, "best": rows, "ours": means, "floor": floor, "peers": every}
    (arguments.out / "stochastic.json").write_text(json.dumps(summary, indent=1))
    plot(rows, means, floor, arguments.out / "stochastic.png")
    print(f"floor {floor:.4f}\n| NFE | ours | best peer | ratio | which |\n|---|---|---|---|---|")
    for row in rows:
        print("| {nfe} | {ours:.4f} | {peer:.4f} | {ratio:.2f} | {label} |".format(ratio=row["ours"] / row["peer"], **row))


if __name__ == "__main__":
    main()
