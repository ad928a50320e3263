"""Orbax's handler of the training state, for folders of any name, and with a look at each save before it counts."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp


def state_handler() -> ocp.StandardCheckpointHandler:
    """Returns Orbax's handler of a state, with which a save fails if it cannot be opened again: its step gets no name."""
    handler: Any = ocp.StandardCheckpointHandler()
    merge = handler.finalize

    def finalize(temporary: PathLike[str]) -> None:
        # Orbax looks for the parts of a save by a glob of etils, which takes the folder's own path for a pattern: in [1] it
        # finds none, and logs that it merged nothing. pathlib takes the path as it is.
        folder = Path(temporary)
        merge(folder)
        handler.metadata(folder)  # opens every array

    handler.finalize = finalize
    return handler
