"""One folder, one run: a lock that its process's death releases, whatever the death."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.runtime import processes
from experiments.runtime.errors import BusyError, StorageError
from experiments.runtime.files import write_text
from experiments.runtime.progress import say
from experiments.runtime.signals import last_words


@contextmanager
def sole(*folders: Path) -> Iterator[None]:
    """Holds the folders, which are made, for this process alone. BusyError with who holds one of them.

    The operating system owns the lock, on `.lock`: it ends with the process, so none is ever stale. `LOCK` beside it only
    says who the holder is. Of several processes of one run, the first holds it for all.
    """
    with ExitStack() as held:
        failed = None
        if processes.first():
            try:
                for folder in folders:
                    held.enter_context(_sole(folder))
            except Exception as error:
                failed = error
        if not processes.everywhere(not isinstance(failed, BusyError)):
            raise failed or BusyError("the first process of this run found the folder in use")
        if not processes.everywhere(failed is None):
            raise failed or StorageError("the first process of this run cannot use the folder, and says why")
        yield


@contextmanager
def _sole(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / ".lock", timeout=0), folder / "LOCK"
    try:
        lock.acquire()
    except Timeout as timeout:
        who = _read(holder)
        raise BusyError(
            f"{folder} is in use by process {who.get('pid', '?')} on {who.get('host', '?')} since {who.get('since', '?')} "
            f"({who.get('command', '?')}): wait for it, stop it, or take another --workdir"
        ) from timeout
    try:
        if before := _read(holder):
            say(f"{folder}: process {before.get('pid')} on {before.get('host')} ended without a word; taking over")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        words = {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "command": " ".join(sys.argv[1:])[:300]}
        write_text(holder, json.dumps(words))
        with last_words(lambda _: holder.unlink(missing_ok=True)):
            yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> dict[str, object]:
    """Who the file says the holder is; nothing where it does not say."""
    try:
        words = json.loads(holder.read_text())
    except (OSError, ValueError):
        return {}
    return words if isinstance(words, dict) else {}
