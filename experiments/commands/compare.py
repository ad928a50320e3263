"""compare: several arms that differ by a few keys, trained and evaluated alike, in one report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax

from experiments.build.experiment import Experiment
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.pictures import first_shown
from experiments.evaluation.features import FeatureSpace
from experiments.evaluation.protocol import describe, summary
from experiments.evaluation.reference import yardstick
from experiments.evaluation.report import write
from experiments.evaluation.results import evaluate, reference
from experiments.runs.record import Record
from experiments.runtime.progress import say
from experiments.training.loop import train


def compare(
    experiments: dict[str, Experiment],
    base: Config,
    changes: dict[str, dict[str, Any]],
    data: Dataset,
    space: FeatureSpace,
    workdir: Path,
    command: str,
    records: dict[str, Record],
) -> Path:
    """Trains, samples and measures every arm; the path of report.html."""
    began = time.monotonic()
    real = yardstick(base, data, space, workdir)
    states, measured, pictures = {}, {}, {}
    for i, (name, experiment) in enumerate(experiments.items(), start=1):
        say(f"[{i}/{len(experiments)}] {experiment.config.title}")
        states[name] = train(experiment, data, workdir / name, records[name])
        measured[name], pictures[name] = evaluate(experiment, experiment.network(states[name].ema), data, real)
    baseline = reference(base, data, real)
    if jax.process_index() == 0:
        arms = [
            describe(name, experiment, states[name], workdir / name) | measured[name] | {"changes": changes[name]}
            for name, experiment in experiments.items()
        ]
        results = summary(base, arms, data, real, baseline, command, time.monotonic() - began)
        write(workdir, results, pictures, first_shown(next(iter(experiments.values())).scaler, data.test))
    return workdir / "report.html"
