"""evaluate: what a trained score is worth, as numbers and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.pictures import first_shown
from experiments.evaluation.likelihood import bits_per_dim
from experiments.evaluation.noise_levels import loss_by_log_snr
from experiments.evaluation.reference import Yardstick
from experiments.randomness import Purpose, stream
from experiments.runtime.progress import progress, say
from experiments.sampling.draw import drawing, unsound
from experiments.sampling.process import reverse_process


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
    config, bound = experiment.config.evaluate, BoundSampler(experiment, experiment.config.samplers[label])
    sampler, draw, asked = bound.config, drawing(bound), bound.labels(config.n)

    def measure(steps: int, **swept: float) -> tuple[dict[str, Any], np.ndarray]:
        grid = bound.grid(steps)
        measures, drawn, shown = [], [], []
        for seed in range(config.seeds):
            found = draw(params, seed, config.n, steps, **swept)
            if found.finite.all():
                measures.append(real.measure(found.levels, experiment.config.data.levels, asked))
            shown.append(first_shown(experiment.scaler, found.levels[found.finite]).copy())
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


def reference(config: Config, data: Dataset, real: Yardstick) -> dict[str, Any]:
    """The measures of the other real examples, as many as samples, another draw for each seed; once, where those are all.

    They are training examples, or held out where the training ones are what samples are held against.
    """
    e, held_against = config.evaluate, {"test": "held-out", "train": "training"}
    others = data.train_examples() if e.real == "test" else data.test
    n = min(e.n, len(others))
    draws = [np.random.default_rng(seed).choice(len(others), n, replace=False) for seed in range(e.seeds)]
    measured = [real.measure(others[chosen], config.data.levels) for chosen in (draws if n < len(others) else draws[:1])]
    return {
        "of": held_against["train" if e.real == "test" else "test"],
        "against": f"{real.real.n:,} real {held_against[e.real]}",
        "n": n,
        **spread(measured, real.measures()),
    }
