"""The log of training, metrics.jsonl: a row for each interval."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict, ValidationError

from experiments.build.state import Tally
from experiments.runtime import processes
from experiments.runtime.files import write_text
from experiments.runtime.progress import say


class Log:
    """The log of a run that continues from `step`.

    Keeps the `rows` up to `step` and drops later ones: a crashed session wrote them after its last checkpoint, and training
    will write them again. `unlogged`: the seconds of training between the last of them and `step`. `at_once`: the number of
    runs that are trained together, each of which has its share of the seconds, so that their sum is what all of them took.
    """

    def __init__(self, path: Path, step: int, unlogged: float = 0.0, at_once: int = 1):
        self._path, self._at_once, self._since = path, at_once, time.monotonic() - unlogged * at_once
        self._skipped = None
        self.rows = [row for row in rows(path) if row["step"] <= step]
        if processes.first():
            write_text(path, "".join(json.dumps(row) + "\n" for row in self.rows))

    @property
    def unlogged(self) -> float:
        """The seconds of training since the last row."""
        return (time.monotonic() - self._since) / self._at_once

    def write(self, step: int, tally: Tally, rate: Any, batch: int) -> dict[str, Any]:
        """Appends the row of a step, from the tally and the learning rate after it, and returns it."""
        tally, rate = jax.device_get((tally, rate))
        seconds = self.unlogged
        n, skipped = int(tally.n), int(tally.skipped)
        row = {
            "step": step,
            "loss": float(tally.loss) / n if n else None,
            "grad_norm": float(tally.grad_norm) / n if n else None,
            "learning_rate": float(rate),
            "skipped": skipped,
            "seconds": seconds,
            "images_per_second": n * batch / seconds,
        }
        self.rows.append(row)
        if processes.first():
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if skipped > (self._skipped or 0):
            say(f"warning: {skipped} steps so far had a loss or gradient that is not finite, and changed nothing")
        self._since, self._skipped = time.monotonic(), skipped
        return row


def loss_in_words(row: dict[str, Any]) -> str:
    """Returns the loss of a row, to be shown with the progress."""
    return "no finite loss" if row["loss"] is None else f"loss {row['loss']:.4g}"


class LogRow(BaseModel):
    """The fields of a row that are read."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    step: int
    loss: float | None
    seconds: float


def rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a metrics file, without those that a crash, a full disk or another hand made unreadable."""
    readable = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValidationError):
            readable.append(LogRow.model_validate_json(line).model_dump())
    return readable
