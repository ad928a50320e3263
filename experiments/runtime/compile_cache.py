"""What a run compiles is kept in the user's own cache, where its next start and its other arms find it."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

import jax

from experiments.runtime.progress import say


def keep_compiled(so: bool = True) -> None:
    """Unless it is not to be `so`: in $XDG_CACHE_HOME/onesde/xla, since it is run as it is read; or where JAX was told to.

    JAX neither writes an entry at once nor ever again: one that a kill has cut off would be compiled anew, with a warning, at
    every start. So what is damaged of those written since the last start is removed first.
    """
    if not so:
        jax.config.update("jax_enable_compilation_cache", False)
    if not so or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "onesde" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_damaged(folder)
    except OSError as error:
        say(f"warning: what is compiled is not kept: {error.filename or folder}: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def remove_damaged(folder: Path) -> None:
    """Removes the entries that do not unpack, of those that were written since this was last asked.

    One that another process is writing may go too; that costs a compile.
    """
    mark = folder / "checked"
    since = mark.stat().st_mtime_ns if mark.exists() else 0
    (new := folder / f"checked.{os.getpid()}").touch()  # before the list is made: what is written meanwhile is newer
    for entry in folder.glob("*-cache"):
        with suppress(FileNotFoundError):  # another process removes it
            if entry.stat().st_mtime_ns >= since and not _unpacks(entry.read_bytes()):
                entry.unlink()
    new.replace(mark)


def _unpacks(content: bytes) -> bool:
    """Whether it is whole, by zlib's checksum. Of zstd, JAX's where it is installed, all passes."""
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return True
    try:
        zlib.decompress(content)
    except zlib.error:
        return False
    return True
