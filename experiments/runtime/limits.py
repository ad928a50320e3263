"""Limits on waiting and on memory. If a network disk hangs, say, the program ends and shows its stacks, instead of never."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.runtime.errors import DataError
from experiments.runtime.signals import exit_now

TICK = 0.5

_waits: dict[object, tuple[list[float], float, str]] = {}  # seconds waited so far, their limit, what for
_starting = threading.Lock()
_watcher = threading.Thread()


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Ends the process if the block takes longer than `seconds`, with every thread's stack, a line with `what`, and code 3.

    It costs a microsecond and is exact to half a second. It is blind to a reader that holds the interpreter's lock.
    """
    if not _watcher.is_alive():
        _watch()
    key = object()
    _waits[key] = [0.0], seconds, what
    try:
        yield
    finally:
        del _waits[key]


def _watch() -> None:
    global _watcher
    with _starting:
        if not _watcher.is_alive():
            _watcher = threading.Thread(target=_count, name="watchdog", daemon=True)
            _watcher.start()


def _count() -> None:
    # It counts ticks, not the clock: a process that was stopped (Ctrl-Z, Slurm) and goes on has not waited meanwhile.
    while True:
        time.sleep(TICK)
        for waited, seconds, what in list(_waits.values()):
            waited[0] += TICK
            if waited[0] > seconds:
                _end(seconds, what)


def _end(seconds: float, what: str) -> None:
    faulthandler.dump_traceback(file=2, all_threads=True)
    remedy = "see that its disk or network answers, then start again: the same command goes on from the last checkpoint"
    why = f"{what}: nothing came for {seconds:g} s"
    exit_now(why, f"{why}; {remedy}", DataError.exit_code)  # a thread that hangs would keep any other exit waiting


def fits(nbytes: int, what: str, remedy: str = "") -> None:
    """Raises DataError, with the remedy if there is one, if `nbytes` are more than is free."""
    if nbytes > (free := available()):
        sizes = f"{what} takes {nbytes / 2**30:.3g} GiB of memory, and {free / 2**30:.3g} GiB are free"
        raise DataError(f"{sizes}: {remedy}" if remedy else sizes)


def available() -> int:
    """Returns the bytes free on this machine, and in this process's container if Linux knows its limit (cgroup v2)."""
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    try:
        contained = int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # none, or "max"
        contained = 2**63
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(contained, free)
