"""Further forms of the log of training, beside metrics.jsonl: TensorBoard's event files, and Weights & Biases.

A form opens with the rows that the run has already and yields write(row). No row is there twice, however often a run resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from typing import Any

from experiments.config.schema import Config
from experiments.runs.folder import Folder
from experiments.runs.record import RunRecord
from experiments.runtime import processes

Row = dict[str, Any]
Write = Callable[[Row], None]


@contextmanager
def further_forms(config: Config, folder: Folder, record: RunRecord, rows: Sequence[Row]) -> Iterator[Write]:
    """Opens every form that `train.log` names, in the first process, and yields write(row) to all of them."""
    names = [name for name in config.train.log if name in FORMS and processes.first()]
    with ExitStack() as stack:
        writers = [stack.enter_context(FORMS[name](config, folder, record, rows)) for name in names]

        def write(row: Row) -> None:
            for each in writers:
                each(row)

        yield write


@contextmanager
def tensorboard(config: Config, folder: Folder, record: RunRecord, rows: Sequence[Row]) -> Iterator[Write]:
    """Writes RUN/tensorboard anew from the rows that there are, and goes on. Times are those of training, without pauses."""
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports] as it is of an extra

    for old in folder.events.glob("events.out.tfevents.*"):
        old.unlink()
    writer = SummaryWriter(str(folder.events))

    def write(row: Row, at: float | None = None) -> None:
        for name, value in row.items():
            if name != "step" and value is not None:
                writer.add_scalar(f"train/{name}", value, row["step"], walltime=at)

    *since, _ = accumulate((row["seconds"] for row in reversed(rows)), initial=0.0)
    for row, seconds in zip(rows, reversed(since), strict=True):
        write(row, time.time() - seconds)
    try:
        yield write
    finally:
        writer.close()


@contextmanager
def wandb(config: Config, folder: Folder, record: RunRecord, rows: Sequence[Row]) -> Iterator[Write]:
    """Goes on with the run of this id at Weights & Biases, which drops rows of steps that it has."""
    import wandb  # pyright: ignore[reportMissingImports] as the user installs it

    run = wandb.init(
        project="onesde", id=record.id, name=config.title, dir=str(folder.path), config=config.model_dump(), resume="allow"
    )
    try:
        yield lambda row: run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])
    finally:
        run.finish()


FORMS = {"tensorboard": tensorboard, "wandb": wandb}
