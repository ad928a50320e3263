"""evaluate: what a trained score is worth, as numbers and pictures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import parallel
from experiments.build import Experiment
from experiments.data import Batch, Dataset
from experiments.draw import drawing, first_shown, unsound
from experiments.fid import Yardstick
from experiments.likelihood import bits_per_dim, held_out
from experiments.progress import progress, say
from experiments.randomness import Purpose, stream
from losses import dsm, sigma2
from samplers import ancestral, solve


def evaluate(experiment: Experiment, params: Any, data: Dataset, real: Yardstick) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of one arm as JSON values, and its pictures: the first samples of each sampler, and the reverse process.

    What is not finite is counted and not shown: a picture may be of no samples.
    """
    config = experiment.config
    table, pictures = [], {}
    with progress("evaluate", len(config.samplers)) as show:
        for done, label in enumerate(config.samplers):
            say(f"sampling with {label} (compiles first)")
            row, pictures[label] = _quality(experiment, label, params, real)
            table.append(row)
            show(done + 1, f"{label}: {real.space.distance} {row['frechet']['mean']:.3g}")
    say("likelihood of held-out examples, and loss by noise level (compile first)")
    bits = bits_per_dim(experiment, params, data)
    by_noise = loss_by_log_snr(experiment, params, data, stream(config.seed, Purpose.NOISE_LEVELS))
    process, bad = reverse_process(experiment, params, stream(config.seed, Purpose.PROCESS))
    results = {"samplers": table, "bits_per_dim": bits, "loss_by_log_snr": by_noise, "process_non_finite": bad}
    return results, {"grids": pictures, "process": process}


def _quality(experiment: Experiment, label: str, params: Any, real: Yardstick) -> tuple[dict[str, Any], np.ndarray]:
    """One sampler at its own setting and at those of its sweep, each over all seeds; the same latents for every sampler.

    A seed of which one sample is not finite has no measures, and a sentence among `unsound`. And first samples, for a picture.
    """
    config, sampler = experiment.config.evaluate, experiment.config.samplers[label]
    draw, asked = drawing(experiment, sampler), experiment.labels(sampler, config.n)

    def measure(steps: int, **swept: float) -> tuple[dict[str, Any], np.ndarray]:
        grid = experiment.grid(sampler, steps)
        measures, drawn, shown = [], [], []
        for seed in range(config.seeds):
            found = draw(params, seed, config.n, steps, **swept)
            if found.finite.all():
                measures.append(real.measure(found.levels, experiment.config.data.levels, asked))
            shown.append(first_shown(experiment, found.levels[found.finite]).copy())
            drawn.append(found._replace(levels=shown[-1]))  # of 50,000 samples the next seed's need the room
        setting = {
            "nfe": float(np.mean([d.nfe.mean() for d in drawn])),
            "seconds": float(np.mean([d.seconds for d in drawn])),
            "non_finite": int(sum((~d.finite).sum() for d in drawn)),
            "unsound": [why for d in drawn if (why := unsound(d, grid))],
        }
        return setting | spread(measures, real.measures(asked is not None)), shown[0]

    headline, first = measure(sampler.n)
    settings = [dict(zip(sampler.sweep, values, strict=True)) for values in zip(*sampler.sweep.values(), strict=True)]
    sweep = [s | measure(int(s.get("n", sampler.n)), **{k: v for k, v in s.items() if k != "n"})[0] for s in settings]
    return {"name": label, "label": label.replace("_", " "), **headline, "sweep": sweep}, first


def spread(measures: list[dict[str, float]], names: list[str]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and values of each measure over seeds; nan where no seed gave one."""

    def summary(values: list[float]) -> dict[str, Any]:
        if not values:
            return {"mean": float("nan"), "std": float("nan"), "values": []}
        return {
            "mean": float(np.mean(values)),
            "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            "values": values,
        }

    return {name: summary([m[name] for m in measures]) for name in names}


def even_log_snr(experiment: Experiment) -> jax.Array:
    """`evaluate.noise_levels` log-SNRs, from that of t = 1 to that of t_min."""
    sde = experiment.sde
    noisiest, cleanest = (sde.log_snr(t) for t in (1.0, max(sde.t_min, 1e-5)))
    return jnp.linspace(noisiest, cleanest, experiment.config.evaluate.noise_levels)


def loss_by_log_snr(experiment: Experiment, params: Any, data: Dataset, key: jax.Array) -> dict[str, list[float]]:
    """E|eps - eps_hat|^2 / D of held-out examples at even log-SNRs: dsm with weight sigma^2, whatever the network predicts.

    Given their labels, where the network learns from labels.
    """
    config, sde, log_snr = experiment.config.evaluate, experiment.sde, even_log_snr(experiment)

    def one(params: Any, row: tuple[jax.Array, Batch]) -> jax.Array:
        key, example = row
        data_key, noise_key = jax.random.split(key)
        loss = dsm(sde, experiment.score(params, y=example.y), sigma2)
        x_0 = experiment.scaler.encode(data_key, example.levels)
        return jax.lax.map(lambda level: loss(noise_key, x_0, sde.time_at(level)), log_snr)

    n = held_out(experiment.config, data.test) or min(config.batch, len(data.test))
    rows = jax.random.split(key, n), data.held_out(n, experiment.classes)
    loss = parallel.in_batches(parallel.mapped(one), params, rows, config.batch)
    return {
        "log_snr": log_snr.tolist(),
        "loss": loss.mean(0).tolist(),
        "std_error": (loss.std(0, ddof=1) / np.sqrt(n)).tolist(),
    }


def reverse_process(
    experiment: Experiment, params: Any, key: jax.Array, snapshots: int = 12, n: int = 8
) -> tuple[np.ndarray, int]:
    """Ancestral sampling seen at even steps, noise first, as pictures [snapshots, n, *event] on the scale of the data.

    x_t is shown over sqrt(alpha^2 + sigma^2), since a VE process starts at sigma_max. And how many of the n samples are not
    finite: then there are no pictures, [snapshots, 0, *event].
    """
    label = experiment.config.sample.sampler
    sampler = experiment.config.samplers[label]
    grid = experiment.grid(sampler, sampler.n)

    def one(params: Any, row: tuple[jax.Array, jax.Array | None]) -> tuple[jax.Array, jax.Array]:
        key, y = row
        prior_key, step_key = jax.random.split(key)
        sde, score, *_ = experiment.reverse(sampler, params, y)
        x_1 = sde.prior_sample(prior_key, experiment.shape)
        learned = experiment.learned(params, y) if sampler.sde is None else {}
        solution = solve(step_key, ancestral(sde, score, **learned), x_1, grid)
        path = jnp.concatenate([x_1[None], solution.path])
        shown = jnp.round(jnp.linspace(0, sampler.n, snapshots)).astype(int)
        scale = jax.vmap(lambda t: jnp.hypot(sde.alpha(t), sde.sigma(t)))(grid[shown])
        frames = jax.vmap(lambda x, s: experiment.scaler.decode(x / s))(path[shown], jnp.maximum(scale, 1.0))
        return frames, solution.finite == sampler.n

    n = -(-n // jax.device_count()) * jax.device_count()
    rows = jax.random.split(key, n), experiment.labels(sampler, n)
    frames, finite = parallel.in_batches(parallel.mapped(one), params, rows, n)
    shown = frames if finite.all() else frames[:0]
    return np.swapaxes(np.asarray(experiment.scaler.display(shown)), 0, 1), int((~finite).sum())
