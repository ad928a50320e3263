"""Refuses what does not fit the machine's memory before it is allocated: Linux would kill the process in the midst of it."""

from __future__ import annotations

import os
from pathlib import Path

from experiments.errors import DataError


def fits(nbytes: int, what: str) -> None:
    """DataError if `nbytes` are more than is free."""
    if nbytes > (free := available()):
        raise DataError(f"{what} takes {nbytes / 2**30:.3g} GiB of memory, and {free / 2**30:.3g} GiB are free")


def available() -> int:
    """Bytes free on this machine, and in this process's container where Linux says so (cgroup v2)."""
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
