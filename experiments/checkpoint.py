"""Checkpoints of the training state, by Orbax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from experiments.errors import StorageError
from experiments.parallel import replicated


class Checkpoints:
    """The newest `keep` states of a run under `folder`; a context manager, since leaving it waits for the last save."""

    def __init__(self, folder: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=ocp.StandardCheckpointHandler())

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def save(self, step: int, state: Any) -> None:
        """Writes in the background; a step that is there already is left alone."""
        if step == self._manager.latest_step():
            return
        if not self._manager.save(step, args=ocp.args.StandardSave(state)):
            raise StorageError(f"{self._manager.directory} refused step {step}: its newest is {self._manager.latest_step()}")

    def latest(self) -> int | None:
        """The newest step, if there is any."""
        return self._manager.latest_step()

    def restore(self, like: Any) -> Any:
        """The newest state, on every device. `like` has its structure, shapes and types, which must match: nothing is cast."""
        step = self._manager.latest_step()
        assert step is not None, "ask latest() first"
        target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated()), like)
        # Orbax would cast silently; names it checks by itself.
        stored, wanted = (
            sorted((a.shape, str(a.dtype)) for a in jax.tree.leaves(tree))
            for tree in (self._manager.item_metadata(step), target)
        )
        if stored != wanted:
            raise StorageError(
                f"the checkpoint {self._manager.directory}/{step} holds other arrays than this config builds: "
                "use the run's own config, or another --workdir"
            )
        return self._manager.restore(step, args=ocp.args.StandardRestore(target))
