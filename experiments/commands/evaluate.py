"""evaluate: measure a trained run and write its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from experiments.build.experiment import Experiment
from experiments.config.parts import classifies
from experiments.data.dataset import Dataset
from experiments.data.pictures import first_shown
from experiments.evaluation import plots
from experiments.evaluation.features import FeatureSpace
from experiments.evaluation.noise_levels import accuracy_by_log_snr
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import describe_arm, report_data
from experiments.evaluation.results import baseline, evaluate
from experiments.runs.record import Record
from experiments.runs.resume import trained
from experiments.runtime import processes
from experiments.runtime.files import replacing, write_json
from experiments.runtime.progress import say
from experiments.training.loop import train


def single(
    command: str, experiment: Experiment, data: Dataset, space: FeatureSpace | None, workdir: Path, line: str, record: Record
) -> None:
    """train or evaluate."""
    config = experiment.config
    state = train(experiment, data, workdir, record) if command == "train" else trained(experiment, workdir)
    if command == "evaluate" and classifies(config):
        say(f"accuracy: {write_classifier(experiment, experiment.network(state.ema), data, workdir, line)}")
    elif command == "evaluate" and space:
        reference = Reference.of(config, data, space, workdir)
        measured, pictures = evaluate(experiment, experiment.network(state.ema), data, reference)
        real = baseline(config, data, reference)
        if jax.process_index() == 0:
            arm = describe_arm("run", experiment, state, workdir) | measured
            results = report_data(config, [arm], data, reference, real, line, arm["train_seconds"])
            say(f"report: {write_report(workdir, results, {'run': pictures}, first_shown(experiment.scaler, data.test))}")
    say(f"{command}: done at step {int(state.step)}, in {workdir}")


def write_classifier(experiment: Experiment, params: Any, data: Dataset, workdir: Path, command: str) -> Path:
    """classifier.json and classifier.png in `workdir`; the path of the picture."""
    found, config = accuracy_by_log_snr(experiment, params, data), experiment.config
    path = workdir / "classifier.png"
    if processes.first():
        protocol = {"config": config.digest(), "data": data.digest, "n": len(data.test), "seed": config.seed}
        write_json(workdir / "classifier.json", {"title": config.title, "command": command, **protocol, **found})
        with replacing(path) as part:
            plots.accuracy_against_log_snr(found, config.title).savefig(part, facecolor="white")
    return path
