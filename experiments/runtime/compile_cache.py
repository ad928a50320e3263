"""The user's own cache of compiled programs, in which a run's next start and its other arms find them."""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import suppress
from pathlib import Path

import jax

from experiments.runtime.progress import say

IN_ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
"""The flag of XLA that lets programs for several CPU devices be read from the cache."""


def keep_compiled(keep: bool = True) -> None:
    """Keeps what jax compiles in $XDG_CACHE_HOME/onesde/xla, or in JAX_COMPILATION_CACHE_DIR; nothing if `keep` is False.

    The folder is the user's own, because a program that is read from it is run. JAX does not write an entry in one piece, and
    never writes it again: it would compile an entry that a kill has cut off at every start, with a warning. So the damaged ones
    among those written since the last start are removed first. If the folder cannot be written, a warning says so once: JAX
    would say it of every program. Nothing is kept if programs would wait for each other forever (`_loses_its_order`).
    """
    keep = keep and not _loses_its_order()
    theirs = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    try:
        if keep and theirs and "://" not in theirs:
            _require_writable(Path(theirs))
        elif keep and not theirs:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "onesde" / "xla"
            _require_writable(folder)
            remove_damaged(folder)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    except OSError as error:
        say(f"warning: compiled programs are not kept: {error.filename}: {error.strerror}")
        keep = False
    except RuntimeError:  # of expanduser
        say("warning: compiled programs are not kept: there is no home folder; XDG_CACHE_HOME may name another")
        keep = False
    if not keep:
        jax.config.update("jax_enable_compilation_cache", False)


def _loses_its_order() -> bool:
    """Returns whether a program that is read from the cache may hang: on several CPU devices, by XLA's own scheduler.

    Each device begins two sums over all of them in an order of its own, and waits. It was seen at every start from a warm cache
    by jaxlib 0.10.2 on eight devices, never in a program that was just compiled, and never without that scheduler.
    """
    in_order = IN_ORDER in os.environ.get("XLA_FLAGS", "")
    return jax.default_backend() == "cpu" and jax.device_count() > 1 and not in_order


def _require_writable(folder: Path) -> None:
    """Makes the folder. Raises OSError if no file can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def remove_damaged(folder: Path) -> None:
    """Removes the entries that do not unpack among those written since the last call.

    It may remove one that another process is writing. That costs a compile.
    """
    mark = folder / "checked"
    since = mark.stat().st_mtime_ns if mark.exists() else 0
    (new := folder / f"checked.{os.getpid()}").touch()  # before the list, so that an entry written meanwhile is newer
    for entry in folder.glob("*-cache"):
        with suppress(FileNotFoundError):  # another process removes it
            if entry.stat().st_mtime_ns >= since and not _unpacks(entry.read_bytes()):
                entry.unlink()
    new.replace(mark)


def _unpacks(content: bytes) -> bool:
    """Returns whether an entry is whole, by zlib's checksum. All of zstd, which JAX takes if it is installed, passes."""
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return True
    try:
        zlib.decompress(content)
    except zlib.error:
        return False
    return True


def forget_if_crowded(most: int | None = None) -> None:
    """Forgets compiled programs if this process has more than `most` memory maps: by default half of what the system grants.

    XLA:CPU maps each program three times, and a process that asks for one map too many crashes. Only Linux has the limit.
    """
    try:
        most = int(Path("/proc/sys/vm/max_map_count").read_text()) // 2 if most is None else most
        with Path("/proc/self/maps").open("rb") as maps:
            held = sum(1 for _ in maps)
    except OSError:
        return
    if held > most:
        jax.clear_caches()
