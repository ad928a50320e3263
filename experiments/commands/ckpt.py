"""Ways on from an earlier state: back to one of the run's own steps, or as a new run from its newest."""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path

from experiments.runs.checkpoint import Checkpoints, saved_steps
from experiments.runs.folder import pictures_after
from experiments.runs.record import read
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.lock import exclusive
from experiments.runtime.progress import say


def go_back(run: Path, step: int) -> None:
    """Moves what the run did after `step`, of which it has a checkpoint, to RUN/abandoned/TIME; nothing is deleted."""
    saved, record = saved_steps(run / "checkpoints"), read(run)
    if step not in saved or record is None:
        raise StorageError(f"--step={step}: {run} has the checkpoints {', '.join(map(str, saved[::-1])) or 'of no step'}")
    with Checkpoints(run / "checkpoints", record.id, writing=False) as checkpoints:
        ((_, wrong),) = checkpoints.verify(step)
    if wrong:
        raise StorageError(f"checkpoint {step} {wrong}; nothing was moved")
    if step == saved[0]:
        say(f"{run} is at step {step} already")
        return
    aside = run / "abandoned" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    later = [run / "checkpoints" / str(s) for s in saved if s > step]
    later += pictures_after(run, step)
    for path in later:
        (aside / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(aside / path.parent.name / path.name)
    if (run / "metrics.jsonl").exists():
        shutil.copy(run / "metrics.jsonl", aside)  # whose later rows training leaves out
    record.went_back(step, aside)
    say(f"back to step {step}; what came after it is in {aside}")


def checkpoints(arguments: argparse.Namespace) -> None:
    """ckpt verify, or ckpt rollback."""
    run, record = arguments.run, read(arguments.run)
    if record is None or not (run / "checkpoints").is_dir():
        raise StorageError(f"{run} holds no run with checkpoints")
    if arguments.action == "rollback":
        if arguments.step is None:
            raise ConfigError("ckpt rollback: say to which of its checkpoints, --step=N")
        with exclusive(run):
            go_back(run, arguments.step)
        return
    with Checkpoints(run / "checkpoints", record.id, writing=False) as there:
        steps = there.steps()
        if not steps or arguments.step not in (None, *steps):
            which = "checkpoint" if arguments.step is None else f"checkpoint {arguments.step}"
            raise StorageError(f"{run} has no {which} (there are {', '.join(map(str, steps)) or 'none'})")
        found = dict(there.verify(arguments.step))
    for step, wrong in found.items():
        say(f"step {step}: {wrong or 'sound'}")
    if any(found.values()):
        raise StorageError(f"{sum(map(bool, found.values()))} of {len(found)} checkpoints of {run} are not sound")
