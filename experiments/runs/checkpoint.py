"""Checkpoints of the training state, by Orbax: sealed as they are saved, and used only where the seal holds.

Orbax saves atomically; but it restores a flipped bit as it is, casts to what is asked for, and takes any folder with a number
for a step. So the seal says what was saved, by whom, and a step that is otherwise is set aside.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding

from experiments.runs.seal import Damaged, check_arrays, check_content, check_origin, sealed
from experiments.runtime import devices, processes
from experiments.runtime.errors import StorageError, brief
from experiments.runtime.progress import say
from experiments.runtime.signals import Interrupted, stop


def saved_steps(folder: Path) -> list[int]:
    """The steps that a folder of checkpoints has, newest first, sound or not; none where there is no such folder."""
    return sorted((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), reverse=True)


class Checkpoints:
    """The newest `keep` states of the run with the id `run` under `folder`; leaving the context waits for the last save.

    Where `writing` is False nothing in the folder is touched: another process may be training there.
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
        handlers = {"state": ocp.StandardCheckpointHandler(), "seal": ocp.JsonCheckpointHandler()}
        try:
            return ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)
        except OSError:
            raise
        except Exception as error:  # of the _CHECKPOINT_METADATA of some step, which it reads to list them
            raise StorageError(f"{self._folder} has a step that Orbax cannot list ({brief(error)}): move it away") from error

    def __enter__(self) -> Checkpoints:
        stop.writing = lambda: self._manager.is_saving_in_progress()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._manager.close()
        except Exception as error:
            if kind in (None, Interrupted):  # which would say that all is saved
                raise StorageError(f"the last checkpoint in {self._folder} was not written: {brief(error)}") from error
        finally:
            stop.writing = lambda: False

    def steps(self) -> list[int]:
        """The steps that there are, newest first, sound or not."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, state: Any, wait: bool = False) -> int | None:
        """Writes in the background, or until it is done; a step that is there already is left alone.

        Returns the newest step that is known to be whole, if any is. Raises NumericsError for a state that is not finite, and
        StorageError where it cannot be written: a full disk is tried again after all but the newest step are gone.
        """
        if step not in self.steps():
            seal = ocp.args.JsonSave(sealed(state, self._run, step))
            args = ocp.args.Composite(state=ocp.args.StandardSave(state), seal=seal)
            before = self._write(step, args, _bytes(state), wait)
            return step if wait else before
        if wait:
            self._manager.wait_until_finished()
        return None if self._manager.is_saving_in_progress() else step

    def _write(self, step: int, args: Any, size: int, wait: bool) -> int | None:
        """The newest step that was whole before."""
        for last_try in (False, True):
            try:
                self._manager.wait_until_finished()  # an earlier save that failed says so here
                before = max(self.steps(), default=None)
                if not self._manager.save(step, args=args):
                    raise StorageError(f"{self._folder} refused step {step}: its newest is {self._manager.latest_step()}")
                if wait:
                    self._manager.wait_until_finished()
                return before
            except (StorageError, jax.errors.JaxRuntimeError):  # of memory, or of another process
                raise
            except Exception as error:
                if not _is_full(error):
                    raise StorageError(f"checkpoint {step} cannot be written to {self._folder}: {brief(error)}") from error
                if jax.process_count() == 1:  # of several, the others wait in the middle of the save
                    self._make_room()
                if last_try or jax.process_count() > 1:
                    raise StorageError(self._too_full(size, 1)) from error
        raise AssertionError

    def _make_room(self) -> None:
        """Removes what a save that failed has left, and every step but the newest."""
        with suppress(Exception):
            self._manager.close()
        for step in saved_steps(self._folder)[1:]:
            shutil.rmtree(self._folder / str(step))
        # Orbax would remove it too, but in the background, which a process that ends now cuts short.
        for _ in range(50):  # a thread of Orbax's may still be writing there
            if not (parts := list(self._folder.glob("*orbax-checkpoint-tmp*"))):
                break
            for part in parts:
                shutil.rmtree(part, ignore_errors=True)
            time.sleep(0.02)
        self._manager = self._open()

    def room_for(self, state: Any, saves: int) -> None:
        """StorageError, before any training, where the disk has no room for the checkpoints that so many `saves` leave.

        They are `keep`, and one more as it is written.
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
            "Free some, or lower train.keep; then the same command goes on"
        )

    def restore(self, like: Any, newest: int | None = None) -> Any:
        """The newest sound state (of step `newest` at most), or None where there never was a step.

        `like` has its structure, shapes and types, which must match: nothing is cast; and says where each array goes, if not on
        every device, however it was saved. What is not sound is set aside, and said.
        Raises StorageError where no step is sound, or the sound one is of another config or of a later OneSDE.
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
                "mend one, or take another --workdir to begin anew"
            )
        return None

    def _retain(self) -> None:
        """Removes what is beyond the newest `keep`, as a process that died in the midst of it did not."""
        extra = saved_steps(self._folder)[self._keep :] if self._writing else []
        if processes.first():
            for step in extra:
                shutil.rmtree(self._folder / str(step))
        if not processes.everywhere(not extra):
            self._manager.reload()

    def _next(self, tried: set[int], newest: int | None) -> int | None:
        """The newest step that is yet to be tried. Who only looks lists them again: a run in training replaces its oldest."""
        if not self._writing:
            self._manager.reload()
        return max((s for s in self.steps() if s not in tried and (newest is None or s <= newest)), default=None)

    def _attempt(self, step: int, target: Any) -> tuple[Any, Damaged | None]:
        """(the state, None), or the damage that any process has found."""
        try:
            state, damage = self._read(step, target), None
        except Damaged as found:
            state, damage = None, found
        if not processes.everywhere(damage is None):
            damage = damage or Damaged("another process cannot read it")
        return state, damage

    def _read(self, step: int, target: Any) -> Any:
        """The state of a step if it is what was saved; else Damaged, or StorageError for what is whole but not for us."""
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
        """The seal of a step of this run and of a format that we know."""
        folder = self._folder / str(step)
        if (folder / "default").is_dir():
            raise StorageError(f"{folder} is from before checkpoints were sealed: train anew, in another --workdir")
        try:
            seal = self._manager.restore(step, args=ocp.args.Composite(seal=ocp.args.JsonRestore()))["seal"]
        except Exception as error:
            self._raise_unless_damage(step, error)
            raise Damaged(f"has no seal that can be read ({brief(error)})") from error
        check_origin(seal, self._run, step, folder)
        return seal

    def _raise_unless_damage(self, step: int, error: Exception) -> None:
        """What the machine refuses now, it may give later: memory, a device, a file of a disk that is busy or away."""
        if isinstance(error, (MemoryError, jax.errors.JaxRuntimeError)):
            raise error
        if _errno(error) not in (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            why = f"{self._folder}/{step} cannot be read now ({brief(error)})"
            raise StorageError(f"{why}; nothing was set aside, and the same command tries again") from error

    def _set_aside(self, step: int, damage: Damaged) -> None:
        if not self._writing:
            say(f"warning: checkpoint {step} {damage}; passed over")
            return
        name = f"{step}.{damage.kind}"
        while (self._folder / name).exists():
            name += "+"
        if processes.first():
            (self._folder / str(step)).rename(self._folder / name)
        processes.everywhere(True)  # nobody reads the list before it is true
        self._manager.reload()
        say(f"warning: checkpoint {step} {damage}; set aside as {self._folder / name}")

    def verify(self, only: int | None = None) -> Iterator[tuple[int, str]]:
        """(step, what is wrong with it) for every step, or for one, newest first; nothing is wrong with a sound one."""
        for step in self.steps() if only is None else [only]:
            try:
                self._read(step, _shapes(self._manager.item_metadata(step)["state"]))
                yield step, ""
            except (Damaged, StorageError) as error:
                yield step, str(error)
            except Exception as error:
                yield step, f"cannot be read ({brief(error)})"


def _shapes(tree: Any) -> Any:
    """What Orbax is to restore, and where: what says nothing of it, on every device."""

    def shape(like: Any) -> jax.ShapeDtypeStruct:
        said = getattr(like, "sharding", None)
        return jax.ShapeDtypeStruct(
            like.shape, like.dtype, sharding=said if isinstance(said, NamedSharding) else devices.replicated()
        )

    return jax.tree.map(shape, tree)


def _bytes(state: Any) -> int:
    return sum(leaf.nbytes if hasattr(leaf, "nbytes") else leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _is_full(error: BaseException) -> bool:
    """Whether it is for want of room."""
    return _errno(error) in (errno.ENOSPC, errno.EDQUOT)


def _errno(error: BaseException | None) -> int | None:
    """What the system said, of this error or of a cause; TensorStore has it in its words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if told := re.search(r"os_error_code='(\d+)'", str(error)):
            return int(told[1])
        error = error.__cause__ or error.__context__
    return None
