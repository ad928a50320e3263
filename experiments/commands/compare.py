"""compare: every arm of a config, trained and evaluated alike, in one report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.build.sharing import sharing
from experiments.commands.arguments import Call, allow_change, compile_cache, config, distributed, no_restart, workdir
from experiments.commands.opening import Opened, open_arms
from experiments.config.seeds import runs_of_arm
from experiments.data.pictures import held_out_shown
from experiments.evaluation.kept import forget, keeping
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import describe_arm, report_data
from experiments.evaluation.results import baseline, evaluate, say_cost
from experiments.evaluation.sweeps import Swept
from experiments.evaluation.training_seeds import arm_of_runs
from experiments.runs.checkpoint import saved_steps
from experiments.runs.folder import Folder
from experiments.runs.record import RunRecord
from experiments.runtime import processes
from experiments.runtime.compile_cache import forget_if_crowded
from experiments.runtime.compiles import compiles_from_now
from experiments.runtime.errors import brief
from experiments.runtime.progress import say
from experiments.runtime.signals import Interrupted
from experiments.training.at_once import train_at_once
from experiments.training.course import Training
from experiments.training.loop import train

HELP = "train and evaluate every arm of a config, in one report"
ARGUMENTS = (config, workdir, distributed, compile_cache, no_restart, allow_change)


def run(call: Call) -> None:
    """Trains and measures every arm, each in its own folder below --workdir, and writes one report."""
    compare_arms(open_arms(call))


def compare_arms(opened: Opened, swept: Swept | None = None) -> None:
    """Trains and measures every arm of an opening and writes one report; of a sweep, with the `swept` values of each arm.

    With `train.seeds` an arm is a run from each seed, in a folder of its own; all arms of one seed come before the next seed,
    but `train.seeds_at_once` runs of an arm are trained together. A run that fails ends itself alone: the report is of the
    others, and the first of the errors is raised after it.
    """
    compiles = compiles_from_now()
    opened, arm_of = with_seeds(opened._replace(experiments=sharing(opened.experiments)))
    base, data, folder, experiments = opened.plan.base, opened.dataset, opened.workdir, opened.experiments
    assert opened.space is not None
    with opened.held({run: folder / run for run in experiments}) as records:
        reference = Reference.of(base, data, opened.space, folder)
        real = baseline(base, data, reference)
        say_cost((experiment.config for experiment in experiments.values()), real)
        runs, pictures, failed = {}, {}, {}
        at_once = dict.fromkeys(opened.plan.arms, base.train.seeds_at_once)
        for i, (run, experiment) in enumerate(experiments.items(), start=1):
            say(f"[{i}/{len(experiments)}] {experiment.config.title}")
            forget_if_crowded()
            try:
                to_come = [other for other in [*experiments][i - 1 :] if arm_of[other] == arm_of[run]]
                at_once[arm_of[run]] = train_ahead(opened, to_come, records, at_once[arm_of[run]])
                described, views = train_and_measure(opened, run, records[run], reference)
                runs[run] = described | {"changes": opened.plan.changes[arm_of[run]]}
                pictures.setdefault(arm_of[run], views)
            except Exception as error:
                if isinstance(error, Interrupted) or not processes.share(error):
                    raise
                failed[run] = error
                records[run].note_failure(error)
                say(f"{run} failed, and the others go on: {brief(error)}")
        if runs and processes.first():
            arms = list(arms_of_runs(opened, arm_of, runs))
            report = report_data(base, arms, data, reference, real, opened.call.line, failed)
            report |= {"swept": swept} if swept else {}
            report["compiles"] = compiles()._asdict()
            write_report(folder, report, pictures, held_out_shown(next(iter(experiments.values())).scaler, data))
            for run in () if swept else runs:  # a sweep may grow, and what is measured is not measured again
                forget(folder / run)
        if runs:
            say(f"{compiles()}")
            say(f"report: {folder / 'report.html'}")
    if failed:
        raise next(iter(failed.values()))


def train_ahead(opened: Opened, runs: Sequence[str], records: Mapping[str, RunRecord], most: int) -> int:
    """Trains the first of the runs of an arm together with those that stand at its step: `most` of them, or as many as fit.

    Returns the number to take from then on.
    """
    at = {run: max(saved_steps(Folder(opened.workdir / run).checkpoints), default=0) for run in runs}
    together = [run for run in runs if at[run] == at[runs[0]]][:most]
    if len(together) == 1 or at[runs[0]] >= opened.experiments[runs[0]].config.train.steps:
        return most
    training = lambda run: Training(opened.experiments[run], opened.data_of(run), opened.workdir / run, records[run])
    return train_at_once([*map(training, together)])


def train_and_measure(
    opened: Opened, run: str, record: RunRecord, reference: Reference
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains a run and measures it: its description for the report, and its pictures."""
    experiment, data, folder = opened.experiments[run], opened.data_of(run), opened.workdir / run
    state = train(experiment, data, folder, record)
    params = experiment.network(state.ema)
    results, views = evaluate(experiment, params, data, reference, keeping(folder, record, reference, params))
    return describe_arm(run, experiment, state, folder) | results, views


def with_seeds(opened: Opened) -> tuple[Opened, dict[str, str]]:
    """Returns the opening with a run of every arm from each seed in the place of the arms, and the arm of each run."""
    runs = {arm: runs_of_arm(arm, experiment.config) for arm, experiment in opened.experiments.items()}
    arm_of = {run: arm for of_seed in zip(*runs.values(), strict=True) for arm, run in zip(runs, of_seed, strict=True)}
    experiments = {run: opened.experiments[arm]._replace(config=runs[arm][run]) for run, arm in arm_of.items()}
    return opened._replace(experiments=experiments), arm_of


def arms_of_runs(opened: Opened, arm_of: dict[str, str], runs: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the description of each arm that has a run: over its runs, if there are several seeds."""
    plan = opened.plan
    for arm, own in plan.arms.items():
        of_arm = {opened.experiments[run].config.seed: described for run, described in runs.items() if arm_of[run] == arm}
        if of_arm and len(plan.base.train.seeds) > 1:
            yield arm_of_runs(arm, own.title, of_arm)
        else:
            yield from (described | {"name": arm} for described in of_arm.values())
