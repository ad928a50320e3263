"""compare: every arm of a config, trained and evaluated alike, in one report."""

from __future__ import annotations

import time

from experiments.commands.arguments import Call, allow_change, compile_cache, config, distributed, workdir
from experiments.commands.opening import open_arms
from experiments.data.pictures import first_shown
from experiments.evaluation.features import feature_space
from experiments.evaluation.protocol import describe, summary
from experiments.evaluation.reference import yardstick
from experiments.evaluation.report import write
from experiments.evaluation.results import evaluate, reference
from experiments.runtime import processes
from experiments.runtime.progress import say
from experiments.training.loop import train

HELP = "train and evaluate every arm of a config, in one report"
ARGUMENTS = (config, workdir, distributed, compile_cache, allow_change)


def run(call: Call) -> None:
    """Trains and measures every arm, each in its own folder below --workdir, and writes one report."""
    opened = open_arms(call)
    base, data, folder, experiments = opened.plan.base, opened.dataset, opened.workdir, opened.experiments
    space = feature_space(base, data)
    with opened.held({name: folder / name for name in experiments}) as records:
        began = time.monotonic()
        real = yardstick(base, data, space, folder)
        arms, pictures = [], {}
        for i, (name, experiment) in enumerate(experiments.items(), start=1):
            say(f"[{i}/{len(experiments)}] {experiment.config.title}")
            state = train(experiment, data, folder / name, records[name])
            results, pictures[name] = evaluate(experiment, experiment.network(state.ema), data, real)
            changes = {"changes": opened.plan.changes[name]}
            arms.append(describe(name, experiment, state, folder / name) | results | changes)
        baseline = reference(base, data, real)
        if processes.first():
            report = summary(base, arms, data, real, baseline, call.line, time.monotonic() - began)
            write(folder, report, pictures, first_shown(next(iter(experiments.values())).scaler, data.test))
        say(f"report: {folder / 'report.html'}")
