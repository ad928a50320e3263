"""evaluate: measure a trained run and write its report."""

from __future__ import annotations

from experiments.build.state import State
from experiments.commands.arguments import Call, compile_cache, distributed, no_restart, run_or_workdir
from experiments.commands.opening import Needs, Opened, open_run
from experiments.data.canvas import save
from experiments.data.pictures import held_out_shown
from experiments.evaluation import plots
from experiments.evaluation.features import FeatureSpace
from experiments.evaluation.kept import forget, keeping
from experiments.evaluation.noise_levels import accuracy_by_log_snr
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import describe_arm, report_data
from experiments.evaluation.results import baseline, evaluate, say_cost
from experiments.runs.record import RunRecord
from experiments.runs.resume import trained_state
from experiments.runtime import processes
from experiments.runtime.files import replacing, write_json
from experiments.runtime.progress import say

HELP = "measure a trained run and write its report"
ARGUMENTS = (run_or_workdir, distributed, compile_cache, no_restart)


def run(call: Call) -> None:
    """Writes report.html, report.json and pictures; of a classifier, its accuracy by noise."""
    opened = open_run(call, Needs(score=False, space=True))
    with opened.held({"": opened.workdir}, training=False) as records:
        state = trained_state(opened.experiment, opened.workdir)
        if opened.space is None:
            measure_classifier(opened, state)
        else:
            measure_score(opened, opened.space, state, records[""])
        say(f"evaluate: done at step {int(state.step)}, in {opened.workdir}")


def measure_score(opened: Opened, space: FeatureSpace, state: State, record: RunRecord) -> None:
    """Writes the report of a score: its samplers, likelihood, and loss by noise. If it was stopped it goes on from there."""
    config, experiment, data, folder = opened.plan.base, opened.experiment, opened.dataset, opened.workdir
    reference = Reference.of(config, data, space, folder)
    real = baseline(config, data, reference)
    say_cost([config], real)
    params = experiment.network(state.ema)
    results, pictures = evaluate(experiment, params, data, reference, keeping(folder, record, reference, params))
    if processes.first():
        arm = describe_arm("run", experiment, state, folder) | results
        report = report_data(config, [arm], data, reference, real, opened.call.line)
        say(f"report: {write_report(folder, report, {'run': pictures}, held_out_shown(experiment.scaler, data))}")
        forget(folder)


def measure_classifier(opened: Opened, state: State) -> None:
    """Writes classifier.json and classifier.png: the accuracy of a classifier by noise."""
    experiment, data, path = opened.experiment, opened.dataset, opened.workdir / "classifier.png"
    config, results = experiment.config, accuracy_by_log_snr(experiment, experiment.network(state.ema), data)
    if processes.first():
        protocol = {"config": config.digest(), "data": data.digest, "n": len(data.test), "seed": config.seed}
        write_json(path.with_suffix(".json"), {"title": config.title, "command": opened.call.line, **protocol, **results})
        with replacing(path) as part:
            save(plots.accuracy_against_log_snr(results, config.title), part)
    say(f"accuracy: {path}")
