"""A lock on a run's folder, which the death of its process releases, whatever the death."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.runtime import processes, supervisor
from experiments.runtime.errors import BusyError, StorageError
from experiments.runtime.files import json_text, write_text
from experiments.runtime.progress import say
from experiments.runtime.signals import last_words


@contextmanager
def exclusive(*folders: Path) -> Iterator[None]:
    """Holds the folders, which it makes, for this process alone. BusyError says who holds one of them.

    The operating system owns the lock, on `.lock`: it ends with the process, so none is ever stale. `LOCK` beside it only
    names the holder. The first of several processes of one run holds the folders for all.
    """
    with ExitStack() as held:
        failure = None
        if processes.first():
            try:
                for folder in folders:
                    held.enter_context(_exclusive(folder))
            except Exception as error:
                failure = error
        if not processes.everywhere(not isinstance(failure, BusyError)):
            raise failure or BusyError("the first process of this run found the folder in use")
        if not processes.everywhere(failure is None):
            raise failure or StorageError("the first process of this run cannot use the folder, and says why")
        yield


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(folder / ".lock", timeout=0), folder / "LOCK"
    try:
        lock.acquire()
    except Timeout as timeout:
        holder = _holder(note)
        raise BusyError(
            f"{folder} is in use by process {holder.get('pid', '?')} on {holder.get('host', '?')} since "
            f"{holder.get('since', '?')} ({holder.get('command', '?')}): wait for it, stop it, or take another folder"
        ) from timeout
    try:
        if last := _holder(note):
            pid, host = last.get("pid"), last.get("host")
            say(f"{folder}: process {pid} on {host} exited without releasing the folder; taking over")
        now, command = datetime.now(UTC).isoformat(timespec="seconds"), " ".join(sys.argv[1:])[:300]
        holder = {"pid": supervisor.started(), "host": socket.gethostname(), "since": now, "command": command}
        write_text(note, json_text(holder))
        with last_words(lambda _: note.unlink(missing_ok=True)):
            yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> dict[str, object]:
    """Returns what the file says of the holder: nothing if it is not there, or not whole."""
    try:
        holder = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}
