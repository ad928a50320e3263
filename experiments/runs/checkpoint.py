"""Checkpoints of the training state, saved by Orbax with a seal, and restored only if the seal fits.

Orbax saves atomically. But it restores flipped bits without complaint, casts arrays to the types of the target, and takes any
folder whose name is a number for a step. The seal records what was saved, and for which run; a step that differs is set aside.
"""

from __future__ import annotations

import errno
import math
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
import tensorstore
from jax.sharding import NamedSharding

from experiments.runs.seal import Damaged, check_arrays, check_content, check_origin, make_seal
from experiments.runs.state_handler import state_handler
from experiments.runtime import devices, processes
from experiments.runtime.errors import StorageError, brief
from experiments.runtime.progress import say
from experiments.runtime.signals import Interrupted, stop


def saved_steps(folder: Path) -> list[int]:
    """Returns the steps in a folder of checkpoints, newest first, damaged ones too; none if there is no such folder."""
    return sorted((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), reverse=True)


class Checkpoints:
    """The checkpoints in `folder` of the run with the id `run`, of which the newest `keep` stay.

    Leaving the context waits for the last save. If `writing` is False nothing in the folder changes: another process may be
    training there.
    """

    def __init__(self, folder: Path, run: str, keep: int = 2, writing: bool = True):
        self._folder, self._run, self._keep, self._writing = folder.absolute(), run, keep, writing
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            cleanup_tmp_directories=self._writing,
            read_only=not self._writing,
            create=self._writing,
        )
        if not _storable(self._folder):
            where = f"no checkpoint can be written to {self._folder}"
            raise StorageError(f"{where}: TensorStore takes no such name; rename it, or take another folder")
        handlers = {"state": state_handler(), "seal": ocp.JsonCheckpointHandler()}
        try:
            return ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)
        except OSError:
            raise
        except Exception as error:  # Orbax reads the _CHECKPOINT_METADATA of every step to list them
            raise StorageError(f"{self._folder} has a step that Orbax cannot list ({brief(error)}): move it away") from error

    def __enter__(self) -> Checkpoints:
        stop.writing.append(self._is_writing)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._manager.close()
        except Exception as error:
            if kind in (None, Interrupted):  # after any other error nobody assumes that all is saved
                raise StorageError(f"the last checkpoint in {self._folder} was not written: {brief(error)}") from error
        finally:
            stop.writing.remove(self._is_writing)

    def _is_writing(self) -> bool:
        return self._manager.is_saving_in_progress()

    def steps(self) -> list[int]:
        """Returns the steps that exist, newest first, damaged ones too."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, state: Any, wait: bool = False, unlogged: float = 0.0) -> int | None:
        """Saves the state in the background; if `wait`, until it is written. A step that exists already is not saved again.

        `unlogged`: the seconds of training since the last row of the log.
        Returns the newest step that is known to be complete, or None. Raises NumericsError if the state is not finite, and
        StorageError if it cannot be written. If the disk is full it removes all steps but the newest and tries once more.
        """
        if step not in self.steps():
            seal = ocp.args.JsonSave(make_seal(state, self._run, step, unlogged))
            # Of an array that several devices hold whole Orbax would write a slice from each, by a program for each slice.
            args = ocp.args.Composite(state=ocp.args.StandardSave(devices.one_copy(state)), seal=seal)
            before = self._write(step, args, _bytes(state), wait)
            return step if wait else before
        if wait:
            self._manager.wait_until_finished()
        return None if self._manager.is_saving_in_progress() else step

    def _write(self, step: int, args: Any, size: int, wait: bool) -> int | None:
        """Starts the save, and returns the newest step that was complete before it."""
        for last_try in (False, True):
            try:
                self._manager.wait_until_finished()  # raises the error of an earlier save that failed
                before = max(self.steps(), default=None)
                if not self._manager.save(step, args=args):
                    raise StorageError(f"{self._folder} refused step {step}: its newest is {self._manager.latest_step()}")
                if wait:
                    self._manager.wait_until_finished()
                return before
            except (StorageError, jax.errors.JaxRuntimeError):  # out of memory, or a failure of another process
                raise
            except Exception as error:
                if not _is_full(error):
                    raise StorageError(f"checkpoint {step} cannot be written to {self._folder}: {brief(error)}") from error
                if jax.process_count() == 1:  # other processes would still wait in the middle of the save
                    self._make_room()
                if last_try or jax.process_count() > 1:
                    raise StorageError(self._too_full(size, 1)) from error
        raise AssertionError

    def _make_room(self) -> None:
        """Removes the remains of a failed save, and every step but the newest."""
        with suppress(Exception):
            self._manager.close()
        for step in saved_steps(self._folder)[1:]:
            shutil.rmtree(self._folder / str(step))
        # Orbax would remove the remains too, but in the background, which the end of this process would cut short.
        for _ in range(50):  # a thread of Orbax may still be writing there
            if not (parts := list(self._folder.glob("*orbax-checkpoint-tmp*"))):
                break
            for part in parts:
                shutil.rmtree(part, ignore_errors=True)
            time.sleep(0.02)
        self._manager = self._open()

    def room_for(self, state: Any, saves: int) -> None:
        """Raises StorageError, before any training, if the disk has no room for the checkpoints of so many `saves`.

        They are `keep`, and one more while it is written.
        """
        more = min(self._keep + 1 - len(self.steps()), saves)
        enough = not processes.first() or _bytes(state) * more <= shutil.disk_usage(self._folder).free
        if not processes.everywhere(enough):
            raise StorageError(self._too_full(_bytes(state), more))

    def _too_full(self, size: int, count: int) -> str:
        free, newest = shutil.disk_usage(self._folder).free, self.steps()
        state = f"step {newest[0]} is kept" if newest else "none is kept"
        what = f"{count} checkpoints need" if count > 1 else "a checkpoint needs"
        return (
            f"no room in {self._folder}: {what} {size * count / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free; {state}. "
            "Free some, or lower train.keep; then the same command continues"
        )

    def restore(self, like: Any, newest: int | None = None) -> Any:
        """Returns the newest sound state, of step `newest` at most; None if there never was a step.

        `like`: a state, or its shapes, with the structure, shapes and types that the checkpoint must have, for nothing is cast.
        Its shardings place the arrays; without one an array goes to every device. Damaged steps are set aside with a warning.
        Raises StorageError if no step is sound, or if the sound one is of another config or of a later OneSDE.
        """
        target = _shapes(like)
        tried: set[int] = set()
        while (step := self._next(tried, newest)) is not None:
            state, damage = self._attempt(step, target)
            if damage is None:
                self._retain()
                return state
            self._set_aside(step, damage)
            tried.add(step)
        aside = sorted(path.name for path in self._folder.glob("*") if re.fullmatch(r"\d+\.(corrupt|foreign)\+*", path.name))
        if tried or (aside and newest is None):
            raise StorageError(
                f"none of the checkpoints in {self._folder} is sound ({', '.join(aside[:4]) or 'all damaged'}); "
                "repair one, or train anew in another folder"
            )
        return None

    def unlogged(self, step: int) -> float:
        """Returns the seconds of training between the last row of the log and a step; 0 if nothing says so."""
        seconds = self._seal(step).get("unlogged") if step in self.steps() else None
        return seconds if isinstance(seconds, float) and 0 <= seconds < math.inf else 0.0

    def hold(self, like: Any) -> bool:
        """Returns whether the newest step has the arrays of `like`, by their paths, shapes and types; True if there is none."""
        for step in self.steps()[:1]:
            try:
                check_arrays(self._seal(step), like, self._folder)
            except (Damaged, StorageError):
                return False
        return True

    def _retain(self) -> None:
        """Removes all but the newest `keep` steps: a process that died may have left more."""
        extra = saved_steps(self._folder)[self._keep :] if self._writing else []
        if processes.first():
            for step in extra:
                shutil.rmtree(self._folder / str(step))
        if not processes.everywhere(not extra):
            self._manager.reload()

    def _next(self, tried: set[int], newest: int | None) -> int | None:
        """Returns the newest step that is yet to be tried; None if there is none.

        A reader lists the steps anew each time: a run in training removes its oldest.
        """
        if not self._writing:
            self._manager.reload()
        return max((s for s in self.steps() if s not in tried and (newest is None or s <= newest)), default=None)

    def _attempt(self, step: int, target: Any) -> tuple[Any, Damaged | None]:
        """Returns (the state, None), or (None, damage) if any process cannot read it."""
        try:
            state, damage = self._read(step, target), None
        except Damaged as error:
            state, damage = None, error
        if not processes.everywhere(damage is None):
            damage = damage or Damaged("another process cannot read it")
        return state, damage

    def _read(self, step: int, target: Any) -> Any:
        """Returns the state of a step. Raises Damaged if it is not as saved, and StorageError if it does not fit `target`."""
        seal = self._seal(step)
        check_arrays(seal, target, self._folder / str(step))
        try:
            state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
        except Exception as error:
            self._raise_unless_damage(step, error)
            raise Damaged(f"cannot be read ({brief(error)})") from error
        check_content(seal, state)
        return state

    def _seal(self, step: int) -> dict[str, Any]:
        """Returns the seal of a step. Raises Damaged if it is not of this run, and StorageError if its format is not ours."""
        folder = self._folder / str(step)
        if (folder / "default").is_dir():
            raise StorageError(f"{folder} is from before checkpoints were sealed: train anew in another folder")
        try:
            seal = self._manager.restore(step, args=ocp.args.Composite(seal=ocp.args.JsonRestore()))["seal"]
        except Exception as error:
            self._raise_unless_damage(step, error)
            raise Damaged(f"has no seal that can be read ({brief(error)})") from error
        check_origin(seal, self._run, step, folder)
        return seal

    def _raise_unless_damage(self, step: int, error: Exception) -> None:
        """Raises transient failures, such as too little memory or a busy disk: they do not mean that a step is damaged."""
        if isinstance(error, (MemoryError, jax.errors.JaxRuntimeError)):
            raise error
        if _errno(error) not in (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            why = f"{self._folder}/{step} cannot be read now ({brief(error)})"
            raise StorageError(f"{why}; nothing was set aside, and the same command tries again") from error

    def _set_aside(self, step: int, damage: Damaged) -> None:
        if not self._writing:
            if not self._is_retired(step):
                say(f"warning: checkpoint {step} {damage}; passed over")
            return
        name = f"{step}.{damage.kind}"
        while (self._folder / name).exists():
            name += "+"
        if processes.first():
            (self._folder / str(step)).rename(self._folder / name)
        processes.everywhere(True)  # all processes wait until it is moved
        self._manager.reload()
        say(f"warning: checkpoint {step} {damage}; set aside as {self._folder / name}")

    def verify(self, only: int | None = None) -> Iterator[tuple[int, str]]:
        """Yields (step, fault) for every step, newest first, or for `only` one. The fault of a sound step is ""."""
        steps, there = self.steps() if only is None else [only], 0
        for step in steps:
            fault = self._fault(step)
            if not (fault and self._is_retired(step)):
                there += 1
                yield step, fault
        if only is None and steps and not there:  # a run in training is quicker
            self._manager.reload()
            yield from self.verify()

    def _fault(self, step: int) -> str:
        try:
            self._read(step, _shapes(self._manager.item_metadata(step)["state"]))
        except (Damaged, StorageError) as error:
            return str(error)
        except Exception as error:
            return f"cannot be read ({brief(error)})"
        return ""

    def _is_retired(self, step: int) -> bool:
        """Returns whether a step that a reader could not read is none any more: a run in training removes its oldest.

        It does not in one moment: the files go before the folder.
        """
        folder = self._folder / str(step)
        if not self._writing and folder.exists():
            time.sleep(0.2)
        return not folder.exists()


def _shapes(tree: Any) -> Any:
    """Returns the shapes that Orbax is to restore, with shardings; an array without one goes to every device."""

    def shape(like: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(like, "sharding", None)
        return jax.ShapeDtypeStruct(
            like.shape, like.dtype, sharding=sharding if isinstance(sharding, NamedSharding) else devices.replicated()
        )

    return jax.tree.map(shape, tree)


def _storable(folder: Path) -> bool:
    """Returns whether TensorStore takes the folder's name as it is. It reads a backslash as a slash, and only UTF-8."""
    path = f"{folder}/"
    with suppress(ValueError, RuntimeError):
        return tensorstore.KvStore.Spec({"driver": "file", "path": path}).to_json()["path"] == path
    return False


def _bytes(state: Any) -> int:
    return sum(leaf.nbytes if hasattr(leaf, "nbytes") else leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _is_full(error: BaseException) -> bool:
    """Returns whether the error means that the disk is full."""
    return _errno(error) in (errno.ENOSPC, errno.EDQUOT)


def _errno(error: BaseException | None) -> int | None:
    """Returns the errno of this error or of one that caused it; TensorStore gives it in the text of its message."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if match := re.search(r"os_error_code='(\d+)'", str(error)):
            return int(match[1])
        error = error.__cause__ or error.__context__
    return None
