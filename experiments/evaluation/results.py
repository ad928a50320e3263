"""The results of a trained score: quality of its samples, likelihood and loss, as JSON values and pictures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.problems import attempt
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.pictures import first_shown, most_shown
from experiments.evaluation import measures
from experiments.evaluation.kept import NO_EVENTS, Measured, measured
from experiments.evaluation.likelihood import bits_per_dim
from experiments.evaluation.noise_levels import loss_by_log_snr
from experiments.evaluation.protocol import solver
from experiments.evaluation.reference import Reference
from experiments.evaluation.spreads import spread
from experiments.randomness import Purpose, stream
from experiments.runtime.lazy_arrays import FunctionArray
from experiments.runtime.progress import progress, say
from experiments.sampling.beside import Beside
from experiments.sampling.draw import Samples, drawing, in_parts, joined, unsound
from experiments.sampling.interpolation import check_between, on_the_arc
from experiments.sampling.process import reverse_process


def evaluate(
    experiment: Experiment, params: Any, data: Dataset, reference: Reference, part: Measured = measured
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of one arm as JSON values, and its pictures: the first samples of each sampler, the reverse process, and the
    way between held-out examples.

    Samples that are not finite are counted and not shown: a picture may be of no samples. `part` measures each part, or has
    it from an evaluation that was stopped.
    """
    experiment = experiment.at(params)
    config, headline = experiment.config, measures.applicable(reference.space)[0]
    rows = {}
    with progress("evaluate", len(config.samplers)) as show:
        for i, label in enumerate(config.samplers, start=1):
            say(f"sampling with {label} (compiles first)")
            rows[label] = part(f"sampler_{label}", lambda label=label: _quality(experiment, label, params, reference))
            mean = headline.times * rows[label].values[headline.name]["mean"]
            show(i, f"{label}: {headline.heading(reference.space.distance)} = {mean:.3g}")
    say("likelihood of held-out examples, and loss by noise level (compile first)")
    key = stream(config.seed, Purpose.NOISE_LEVELS)
    bits = part("bits_per_dim", lambda: (bits_per_dim(experiment, params, data), NO_EVENTS))
    by_noise = part("loss_by_log_snr", lambda: (loss_by_log_snr(experiment, params, data, key), NO_EVENTS))
    process = part("process", lambda: _process(experiment, params))
    between = part("between", lambda: _between(experiment, params, data))
    results = {
        "samplers": [row.values for row in rows.values()],
        "bits_per_dim": bits.values,
        "loss_by_log_snr": by_noise.values,
        "process_non_finite": process.values,
        "between_non_finite": between.values,
        "evaluate_seconds": sum(each.seconds for each in (*rows.values(), bits, by_noise, process, between)),
    }
    grids = {label: row.events for label, row in rows.items()}
    return results, {"grids": grids, "process": process.events, "between": between.events}


def _process(experiment: Experiment, params: Any) -> tuple[int, np.ndarray]:
    """The number of samples of the reverse process that are not finite, and its snapshots."""
    snapshots, bad = reverse_process(experiment, params, stream(experiment.config.seed, Purpose.PROCESS))
    return bad, snapshots


def _between(experiment: Experiment, params: Any, data: Dataset) -> tuple[int, np.ndarray]:
    """The number of frames between pairs of held-out examples that are not finite, and [pairs, 1 + frames + 1, *event].

    Each row begins and ends with the examples themselves. There is none if a frame is not finite, or if no score is of two
    examples: each has a label of its own, and the network has learned none without.
    """
    pairs, problems = min(experiment.config.evaluate.pairs, len(data.test) // 2), []
    attempt(problems, "between", lambda: check_between(experiment))
    if problems or not pairs:
        return 0, NO_EVENTS
    levels = data.held_out(2 * pairs).levels
    ends = np.stack([levels[:pairs], levels[pairs:]], axis=1)
    way = on_the_arc(experiment, params, ends)
    whole = experiment.scaler.display(np.concatenate([ends[:, :1], way.levels, ends[:, 1:]], axis=1))
    return int((~way.finite).sum()), whole if way.finite.all() else NO_EVENTS


def _quality(experiment: Experiment, label: str, params: Any, reference: Reference) -> tuple[dict[str, Any], np.ndarray]:
    """The row of one sampler, at its own setting and at those of its sweep, and its first samples for a picture.

    Each setting is measured over all seeds, from the same latents for every sampler. A seed with a sample that is not finite
    has no measures; `unsound` says why. A part of the samples is in memory at a time, and then its features are in a file.
    """
    config, bound = experiment.config.evaluate, BoundSampler(experiment, experiment.config.samplers[label])
    sampler, labels = bound.config, bound.labels(config.n)
    draw = experiment.once(("draw", label), lambda: drawing(bound))
    shape, levels = experiment.shape, experiment.config.data.levels

    def of_seed(seed: int, steps: int, swept: dict[str, float]) -> tuple[Samples, dict[str, float] | None]:
        """The samples of a seed, whose events are the first finite ones as pictures, and their measures."""
        parts: list[Samples] = []

        def events() -> Iterator[np.ndarray]:
            for part in in_parts(bound, draw, params, seed, config.n, steps, **swept):
                yield part.levels
                pairs = part.pairs
                first = first_shown(experiment.scaler, pairs[part.finite[: len(pairs)]])
                parts.append(part._replace(levels=first.copy(), beside=Beside()))  # the next parts need the room

        features = reference.space.embed_all(events(), reference.folder)
        samples = joined(parts)
        values = measures.measure(reference, features, shape, levels, labels) if samples.finite.all() else None
        return samples._replace(levels=samples.levels[: most_shown(shape)]), values

    def at(steps: int, **swept: float) -> tuple[dict[str, Any], np.ndarray]:
        grid, by_seed = bound.grid(steps), [of_seed(seed, steps, swept) for seed in range(config.seeds)]
        sets = [samples for samples, _ in by_seed]
        setting = {
            "nfe": float(np.mean([s.nfe.mean() for s in sets])),
            "seconds": float(np.mean([s.seconds for s in sets])),
            "non_finite": int(sum((~s.finite).sum() for s in sets)),
            "unsound": [why for s in sets if (why := unsound(s, grid))],
        }
        names = [m.name for m in measures.computable(reference, config.n, labels is not None)]
        names += [measures.CHOICE] if reference.validation else []
        return setting | spread([values for _, values in by_seed if values is not None], names), sets[0].levels

    headline, first = at(sampler.n)
    settings = [dict(zip(sampler.sweep, values, strict=True)) for values in zip(*sampler.sweep.values(), strict=True)]
    swept = lambda s: at(int(s.get("n", sampler.n)), **{k: v for k, v in s.items() if k != "n"})[0]
    names = {"name": label, "label": label.replace("_", " "), "step": solver(sampler), "n": sampler.n}
    return {**names, **headline, "sweep": [s | {"setting": s} | swept(s) for s in settings]}, first


def baseline(config: Config, data: Dataset, reference: Reference) -> dict[str, Any]:
    """The measures of other real examples, as many as samples, another draw for each seed, or all of them once if they are few.

    They are training examples, or held-out ones if the reference is the training examples. `seconds`: the time that one of
    these sets took.
    """
    e, words = config.evaluate, {"test": "held-out", "train": "training"}
    total = len(data.train if e.real == "test" else data.test)
    read = lambda rows: data.train.read(rows).levels if e.real == "test" else data.test[rows]
    n = min(e.n, total)
    images = lambda rows: FunctionArray((n, *data.shape), lambda i: read(rows[i]))
    draws = [np.random.default_rng(seed).choice(total, n, replace=False) for seed in range(e.seeds if n < total else 1)]
    began = time.monotonic()
    by_seed = [measures.measure_images(reference, images(rows), config.data.levels) for rows in draws]
    return {
        "seconds": (time.monotonic() - began) / len(by_seed),
        "of": f"{words['train' if e.real == 'test' else 'test']} {reference.space.noun}",
        "against": f"{reference.real.n:,} real {words[e.real]} {reference.space.noun}",
        "n": n,
        **spread(by_seed, [m.name for m in measures.computable(reference, n)]),
    }


def say_cost(configs: Iterable[Config], baseline: dict[str, Any]) -> None:
    """Says the number of sets of samples that will be drawn and measured, and how long measuring takes, as the baseline did."""
    settings = lambda sampler: 1 + len(next(iter(sampler.sweep.values()), ()))
    sets = sum(config.evaluate.seeds * sum(map(settings, config.samplers.values())) for config in configs)
    say(f"{sets} sets of samples to draw; measuring them takes about {sets * baseline['seconds']:.0f} s beside that")
