"""ckpt: verify a run's checkpoints, or go back to one."""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path

from experiments.commands.arguments import Call, step
from experiments.commands.arguments import run as run_folder
from experiments.runs.checkpoint import Checkpoints, saved_steps
from experiments.runs.folder import Folder
from experiments.runs.record import read_record
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.lock import exclusive
from experiments.runtime.progress import say


def add_action(parser: argparse.ArgumentParser) -> None:
    """Adds the action."""
    text = "read and check all of them, or set aside what came after --step"
    parser.add_argument("action", choices=("verify", "rollback"), help=text)


HELP = "verify a run's checkpoints, or go back to one"
ARGUMENTS = (add_action, run_folder, step)
OVERRIDES = False


def run(call: Call) -> None:
    """Reads and checks every checkpoint, or makes the run go on from an earlier one."""
    options = call.options
    record = read_record(options.run)
    if record is None or not Folder(options.run).checkpoints.is_dir():
        raise StorageError(f"{options.run} holds no run with checkpoints")
    if options.action == "verify":
        verify(options.run, record.id, options.step)
    elif options.step is None:
        raise ConfigError("ckpt rollback: say to which of its checkpoints, --step=N")
    else:
        with exclusive(options.run):
            roll_back(options.run, options.step)


def verify(run: Path, run_id: str, step: int | None) -> None:
    """Reports whether every checkpoint, or that of `step`, is sound. Raises StorageError if one is not, or is missing."""
    with Checkpoints(Folder(run).checkpoints, run_id, writing=False) as checkpoints:
        steps = checkpoints.steps()
        faults = dict(checkpoints.verify(step)) if step in (None, *steps) else {}
    if not faults:
        which = "checkpoint" if step is None else f"checkpoint {step}"
        raise StorageError(f"{run} has no {which} (there are {', '.join(map(str, steps)) or 'none'})")
    for at, fault in faults.items():
        say(f"step {at}: {fault or 'sound'}")
    if any(faults.values()):
        raise StorageError(f"{sum(map(bool, faults.values()))} of {len(faults)} checkpoints of {run} are not sound")


def roll_back(run: Path, step: int) -> None:
    """Moves what the run did after the checkpoint of `step` to RUN/abandoned/TIME; nothing is deleted."""
    saved, record = saved_steps(Folder(run).checkpoints), read_record(run)
    if step not in saved or record is None:
        raise StorageError(f"--step={step}: {run} has the checkpoints {', '.join(map(str, saved[::-1])) or 'of no step'}")
    with Checkpoints(Folder(run).checkpoints, record.id, writing=False) as checkpoints:
        ((_, fault),) = checkpoints.verify(step)
    if fault:
        raise StorageError(f"checkpoint {step} {fault}; nothing was moved")
    if step == saved[0]:
        say(f"{run} is at step {step} already")
        return
    aside = Folder(run).abandoned / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    later = [Folder(run).checkpoints / str(s) for s in saved if s > step]
    later += Folder(run).pictures_after(step)
    for path in later:
        (aside / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(aside / path.parent.name / path.name)
    if Folder(run).metrics.exists():
        shutil.copy(Folder(run).metrics, aside)  # whose later rows training leaves out
    record.note_rollback(step, aside)
    say(f"back to step {step}; what came after it is in {aside}")
