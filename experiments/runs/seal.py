"""The seal of a checkpoint: its run, its step and a digest of every array, by which damage is detected."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from experiments.build.state import named
from experiments.runtime import devices
from experiments.runtime.errors import NumericsError, StorageError, brief

FORMAT = 1
"""The format of a step's folder; a later OneSDE reads every earlier format."""


class Damaged(Exception):
    """A step's folder that is not as it was saved. `kind`: the suffix of its name when it is set aside."""

    def __init__(self, why: str, kind: str = "corrupt"):
        super().__init__(why)
        self.kind = kind


def make_seal(state: Any, run: str, step: int, unlogged: float) -> dict[str, Any]:
    """Returns the seal of the run's state at a step, with [shape, dtype, SHA-256] of every array by its path.

    `unlogged`: the seconds of training since the last row of the log. Raises NumericsError if the state is not finite.
    """
    entries, bad = {}, []
    for name, share in named(state).items():  # one at a time: a host may not have room for the whole of a sharded state
        leaf = devices.gather(share)
        entries[name] = [list(leaf.shape), str(leaf.dtype), _digest(leaf)]
        bad += [] if np.isfinite(leaf).all() else [name]
    if bad:
        raise NumericsError(f"{len(bad)} arrays of the state are not finite, as {bad[0]}; it is not saved")
    origin = {"format": FORMAT, "run": run, "onesde": version("onesde"), "step": step}
    return origin | {"unlogged": unlogged, "leaves": entries}


def check_origin(seal: Any, run: str, step: int, folder: Path) -> None:
    """Checks that `seal` is the seal of this step of this run.

    Raises Damaged if it is not, and StorageError if a later OneSDE made it. `folder`: that of the step, for the message.
    """
    try:
        later, made_by = seal["format"] > FORMAT, seal["onesde"]
    except Exception as error:
        raise Damaged(f"has no seal that can be read ({brief(error)})") from error
    if later:  # its other fields may be of another form
        raise StorageError(f"{folder} was made by OneSDE {made_by}; you have {version('onesde')}: upgrade")
    try:
        whole = seal["step"] == step and all(len(leaf) == 3 for leaf in seal["leaves"].values())
        owner = seal["run"]
    except Exception as error:
        raise Damaged(f"has a seal of another form ({brief(error)})") from error
    if not whole:
        raise Damaged("has a seal that is not of this step")
    if owner != run:
        raise Damaged("is of another run", "foreign")


def check_arrays(seal: dict[str, Any], like: Any, folder: Path) -> None:
    """Raises StorageError unless the sealed arrays have the paths, shapes and dtypes of `like`: nothing is cast."""
    wanted = {name: [list(leaf.shape), str(leaf.dtype)] for name, leaf in named(like).items()}
    saved = {name: leaf[:2] for name, leaf in seal["leaves"].items()}
    if differing := sorted(name for name in wanted.keys() | saved.keys() if wanted.get(name) != saved.get(name)):
        name = differing[0]
        raise StorageError(
            f"the checkpoint {folder} holds other arrays than this config builds "
            f"({len(differing)}, as {name}: {saved.get(name)} there, {wanted.get(name)} here): "
            "use the run's own config, or another folder"
        )


def check_content(seal: dict[str, Any], state: Any) -> None:
    """Raises Damaged unless every array of the restored state is, bit for bit, the sealed one."""
    for name, leaf in named(state).items():
        if _digest(devices.gather(leaf)) != seal["leaves"][name][2]:
            raise Damaged(f"is not as it was saved: {name} differs")


def _digest(leaf: np.ndarray) -> str:
    return sha256(leaf.tobytes()).hexdigest()
