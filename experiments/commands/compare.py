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
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import describe_arm, report_data
from experiments.evaluation.results import baseline, evaluate
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
    reference = Reference.of(base, data, space, workdir)
    states, measured, pictures = {}, {}, {}
    for i, (name, experiment) in enumerate(experiments.items(), start=1):
        say(f"[{i}/{len(experiments)}] {experiment.config.title}")
        states[name] = train(experiment, data, workdir / name, records[name])
        measured[name], pictures[name] = evaluate(experiment, experiment.network(states[name].ema), data, reference)
    real = baseline(base, data, reference)
    if jax.process_index() == 0:
        arms = [
            describe_arm(name, experiment, states[name], workdir / name) | measured[name] | {"changes": changes[name]}
            for name, experiment in experiments.items()
        ]
        results = report_data(base, arms, data, reference, real, command, time.monotonic() - began)
        write_report(workdir, results, pictures, first_shown(next(iter(experiments.values())).scaler, data.test))
    return workdir / "report.html"
