"""The seal of a checkpoint: which run and step it is of, and a digest of every leaf; and what is wrong where it is broken."""

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
"""Of what a step's folder holds; a later OneSDE reads every earlier one."""


class Damaged(Exception):
    """A step's folder is not what was saved; `kind` is the suffix that it is set aside under."""

    def __init__(self, why: str, kind: str = "corrupt"):
        super().__init__(why)
        self.kind = kind


def sealed(state: Any, run: str, step: int) -> dict[str, Any]:
    """The seal of the run's state at a step; of every leaf by its path [shape, dtype, SHA-256].

    NumericsError for a state that is not finite.
    """
    entries, bad = {}, []
    for name, share in named(state).items():  # one at a time: of a state in shares no host may have room for the whole
        leaf = devices.gather(share)
        entries[name] = [list(leaf.shape), str(leaf.dtype), _digest(leaf)]
        bad += [] if np.isfinite(leaf).all() else [name]
    if bad:
        raise NumericsError(f"{len(bad)} arrays of the state are not finite, as {bad[0]}; it is not saved")
    return {"format": FORMAT, "run": run, "onesde": version("onesde"), "step": step, "leaves": entries}


def check_origin(seal: Any, run: str, step: int, folder: Path) -> None:
    """Damaged unless what was read as the seal of `folder` is one, of this step and run; StorageError for a later OneSDE's."""
    try:
        later, made_by = seal["format"] > FORMAT, seal["onesde"]
    except Exception as error:
        raise Damaged(f"has no seal that can be read ({brief(error)})") from error
    if later:  # whatever else it holds
        raise StorageError(f"{folder} was made by OneSDE {made_by}; you have {version('onesde')}: upgrade")
    try:
        whole = seal["step"] == step and all(len(leaf) == 3 for leaf in seal["leaves"].values())
        of = seal["run"]
    except Exception as error:
        raise Damaged(f"has a seal of another form ({brief(error)})") from error
    if not whole:
        raise Damaged("has a seal that is not of this step")
    if of != run:
        raise Damaged("is of another run", "foreign")


def check_arrays(seal: dict[str, Any], like: Any, folder: Path) -> None:
    """StorageError unless `folder` holds the arrays that `like` has, by path, shape and dtype: nothing is cast."""
    wanted = {name: [list(leaf.shape), str(leaf.dtype)] for name, leaf in named(like).items()}
    stored = {name: leaf[:2] for name, leaf in seal["leaves"].items()}
    if differing := sorted(name for name in wanted.keys() | stored.keys() if wanted.get(name) != stored.get(name)):
        name = differing[0]
        raise StorageError(
            f"the checkpoint {folder} holds other arrays than this config builds "
            f"({len(differing)}, as {name}: {stored.get(name)} there, {wanted.get(name)} here): "
            "use the run's own config, or another --workdir"
        )


def check_content(seal: dict[str, Any], state: Any) -> None:
    """Damaged unless every leaf of the state that was restored is, bit by bit, the one that was sealed."""
    for name, leaf in named(state).items():
        if _digest(devices.gather(leaf)) != seal["leaves"][name][2]:
            raise Damaged(f"is not as it was saved: {name} differs")


def _digest(leaf: np.ndarray) -> str:
    return sha256(leaf.tobytes()).hexdigest()
