"""compare: every arm of a config, trained and evaluated alike, in one report."""

from __future__ import annotations

from experiments.commands.arguments import Call, allow_change, compile_cache, config, distributed, no_restart, workdir
from experiments.commands.opening import open_arms
from experiments.data.pictures import held_out_shown
from experiments.evaluation.kept import forget, keeping
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import describe_arm, report_data
from experiments.evaluation.results import baseline, evaluate, say_cost
from experiments.runtime import processes
from experiments.runtime.errors import brief
from experiments.runtime.progress import say
from experiments.runtime.signals import Interrupted
from experiments.training.loop import train

HELP = "train and evaluate every arm of a config, in one report"
ARGUMENTS = (config, workdir, distributed, compile_cache, no_restart, allow_change)


def run(call: Call) -> None:
    """Trains and measures every arm, each in its own folder below --workdir, and writes one report.

    An arm that fails ends itself alone: the report is of the others, and the first of the errors is raised after it.
    """
    opened = open_arms(call)
    base, data, folder, experiments = opened.plan.base, opened.dataset, opened.workdir, opened.experiments
    assert opened.space is not None
    with opened.held({name: folder / name for name in experiments}) as records:
        reference = Reference.of(base, data, opened.space, folder)
        real = baseline(base, data, reference)
        say_cost((experiment.config for experiment in experiments.values()), real)
        arms, pictures, failed = [], {}, {}
        for i, (name, experiment) in enumerate(experiments.items(), start=1):
            say(f"[{i}/{len(experiments)}] {experiment.config.title}")
            try:
                own = opened.data_of(name)
                state = train(experiment, own, folder / name, records[name])
                params = experiment.network(state.ema)
                part = keeping(folder / name, records[name], reference, params)
                results, views = evaluate(experiment, params, own, reference, part)
                changes = {"changes": opened.plan.changes[name]}
                arms.append(describe_arm(name, experiment, state, folder / name) | results | changes)
                pictures[name] = views
            except Exception as error:
                if isinstance(error, Interrupted) or not processes.share(error):
                    raise
                failed[name] = error
                records[name].note_failure(error)
                say(f"{name} failed, and the others go on: {brief(error)}")
        if arms and processes.first():
            report = report_data(base, arms, data, reference, real, call.line, failed)
            write_report(folder, report, pictures, held_out_shown(next(iter(experiments.values())).scaler, data))
            for name in pictures:
                forget(folder / name)
        if arms:
            say(f"report: {folder / 'report.html'}")
    if failed:
        raise next(iter(failed.values()))
