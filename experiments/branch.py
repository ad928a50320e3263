"""Ways on from an earlier state: back to one of the run's own steps, or as a new run from its newest."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from experiments import parallel
from experiments.build import Experiment
from experiments.checkpoint import Checkpoints, saved_steps
from experiments.errors import StorageError
from experiments.files import write_text
from experiments.metrics import rows
from experiments.pictures import pictures_after
from experiments.progress import say
from experiments.record import Record, read
from experiments.resume import state_shapes


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


def fork(experiment: Experiment, source: Path, target: Path, record: Record) -> None:
    """Makes the run in `target`, of this `record`, begin as the newest sound state of `source`, with the log up to there."""
    parent = read(source)
    if parent is None:
        raise StorageError(f"{source} holds no run to fork")
    if (before := record.content.get("parent", {"run": parent.id}))["run"] != parent.id:
        raise StorageError(f"{target} is a fork of {before.get('folder')}: fork into another folder")
    if saved_steps(target / "checkpoints"):
        if "parent" in record.content:
            return  # forked before; it goes on by itself
        raise StorageError(f"{target} holds a run already: fork into another folder")
    with Checkpoints(source / "checkpoints", parent.id, writing=False) as checkpoints:
        state = checkpoints.restore(state_shapes(experiment))
    if state is None:
        raise StorageError(f"{source} holds no checkpoint to fork")
    step = int(state.step)
    if parallel.first():
        kept = [row for row in rows(source / "metrics.jsonl") if row["step"] <= step]
        write_text(target / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
    record.content["parent"] = {"run": parent.id, "folder": str(source.absolute()), "step": step}
    with Checkpoints(target / "checkpoints", record.id, experiment.config.train.keep) as checkpoints:
        record.note()
        record.saved(checkpoints.save(step, state, wait=True))
    say(f"{target} begins at step {step} of {source}")
