"""sweep: a comparison whose arms are the product of several values of some keys."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys

from experiments.commands.arguments import Call, allow_change, compile_cache, config, distributed, no_restart, workdir
from experiments.commands.compare import compare_arms, train_and_measure, with_seeds
from experiments.commands.opening import Opened, open_arms
from experiments.config.messages import suggestion
from experiments.config.reading import read_config
from experiments.config.sweep import read_sweep, split_overrides, swept_arms
from experiments.config.tiny import tiny
from experiments.evaluation.reference import Reference
from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM


def only(parser: argparse.ArgumentParser) -> None:
    """Adds --only."""
    text = "train and measure this run of the sweep alone; the report comes with the others"
    parser.add_argument("--only", metavar="RUN", help=text)


def slurm(parser: argparse.ArgumentParser) -> None:
    """Adds --slurm and --submit."""
    parser.add_argument("--slurm", action="store_true", help="print a script for Slurm, an array with a task for each run")
    parser.add_argument("--submit", action="store_true", help="submit that script, and the report after it")


HELP = "train and evaluate a config at several values of some keys, in one report"
ARGUMENTS = (config, workdir, distributed, compile_cache, no_restart, allow_change, only, slurm)
OF_SLURM = ("--slurm", "--submit")


def run(call: Call) -> None:
    """Trains and measures a run for each combination of values, and writes one report. Finished runs are not repeated."""
    fixed, several = split_overrides(call.overrides)
    tree = read_config(call.options.config, fixed, {"tiny": tiny})
    arms = swept_arms(tree, {**read_sweep(call.options.config), **several})
    opened = open_arms(call, tree | {"arms": {label: arm.changes for label, arm in arms.items()}})
    if call.options.slurm or call.options.submit:
        on_slurm(call, list(with_seeds(opened)[0].experiments))
    elif call.options.only:
        measure_alone(with_seeds(opened)[0], call.options.only)
    else:
        compare_arms(opened, {label: arm.values for label, arm in arms.items()})


def measure_alone(opened: Opened, run: str) -> None:
    """Trains and measures one run. It holds that folder alone, and the report of all takes what is measured from there."""
    if run not in opened.experiments:
        raise ConfigError(f"--only={run}: no run of the sweep{suggestion(run, list(opened.experiments))}")
    base, folder = opened.plan.base, opened.workdir / run
    alone = opened._replace(plan=opened.plan._replace(changes={}), experiments={run: opened.experiments[run]})
    assert opened.space is not None
    with alone.held({run: folder}) as records:
        train_and_measure(alone, run, records[run], Reference.of(base, opened.dataset, opened.space, opened.workdir))
    say(f"sweep: {run} is trained and measured; without --only the same command writes the report")


def on_slurm(call: Call, runs: list[str]) -> None:
    """Prints the array script of a sweep, or submits it and, after it, the report."""
    _, typed = call.line.split(PROGRAM, maxsplit=1)
    words = [word for word in shlex.split(typed) if word not in OF_SLURM]
    report = shlex.join([sys.executable, "-m", "experiments", *words])
    script = SCRIPT.format(
        last=len(runs) - 1,
        folder=shlex.quote(str(call.options.workdir)),
        output=call.options.workdir.absolute() / "slurm-%A_%a.out",
        runs=shlex.join(runs),
        command=report,
    )
    if not call.options.submit:
        print(script, end="")
        return
    if shutil.which("sbatch") is None:
        raise ConfigError("--submit: there is no sbatch here; --slurm prints the script for a login node of the cluster")
    call.options.workdir.mkdir(parents=True, exist_ok=True)
    number = submitted(["sbatch", "--parsable"], script)
    after = submitted(["sbatch", "--parsable", f"--dependency=afterany:{number}", "--job-name=report", f"--wrap={report}"])
    say(f"sweep: {len(runs)} runs are job {number}, and the report is job {after}")


def submitted(command: list[str], script: str | None = None) -> str:
    """Submits a job and returns its number."""
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ConfigError(f"sbatch failed: {' '.join(result.stderr.split())[:300]}")
    return result.stdout.strip().partition(";")[0]


SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=0-{last}
#SBATCH --output={output}
# Add what your cluster asks for, such as #SBATCH --gres=gpu:1 and #SBATCH --time=4:00:00.
mkdir -p {folder}
runs=({runs})
exec {command} --only="${{runs[$SLURM_ARRAY_TASK_ID]}}"
# When all have ended, the report: {command}
"""
