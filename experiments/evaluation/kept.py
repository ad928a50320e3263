"""The parts of an evaluation, each kept in a file when it is measured: one that was stopped goes on from there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.build.state import params_digest
from experiments.evaluation.reference import Reference
from experiments.runs.folder import Folder
from experiments.runs.record import RunRecord
from experiments.runtime import processes
from experiments.runtime.files import replacing
from experiments.runtime.progress import say


class Part(NamedTuple):
    """A part as `values`, which JSON holds, the `events` of its pictures, and the seconds that it took."""

    values: Any
    events: np.ndarray
    seconds: float


Measure = Callable[[], tuple[Any, np.ndarray]]
"""The values and events of a part, computed."""
Measured = Callable[[str, Measure], Part]
"""The part of a name, by measuring it or from its file."""

NO_EVENTS = np.zeros(0, np.uint8)


def measured(name: str, measure: Measure) -> Part:
    """Returns the part, measured now."""
    began = time.monotonic()
    values, events = measure()
    return Part(values, events, time.monotonic() - began)


def keeping(run: Path, record: RunRecord, reference: Reference, params: Any) -> Measured:
    """Returns the function `measured` with a file for each part in the folder of the run: what it holds is not measured again.

    A file counts only for what it was written for: the same parameters, real images, config, code, packages and devices.
    """
    facts = [record.circumstances, reference.real.protocol, params_digest(params)]
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def part(name: str, measure: Measure) -> Part:
        path = Folder(run).measured / f"{name}.npz"
        before = _read(path, key)
        if processes.everywhere(before is not None) and before is not None:
            say(f"{name}: as it was measured before")
            return before
        values, events, seconds = fresh = measured(name, measure)
        if processes.first():
            with replacing(path) as file:
                np.savez(file, key=key, values=json.dumps([values, seconds]), events=events)
        return fresh

    return part


def forget(run: Path) -> None:
    """Removes the parts of an evaluation of the run that is done: its report has them."""
    shutil.rmtree(Folder(run).measured, ignore_errors=True)


def _read(path: Path, key: str) -> Part | None:
    """The part in a file of that key; None if there is none, or if it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            values, seconds = json.loads(str(file["values"]))
            return Part(values, file["events"], seconds)
    except Exception:  # damaged files raise anything, and the part can be measured
        return None
