"""Files and folders that are whole or not there, whenever the process dies."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART = ".part-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to. It replaces `path` if the block ends well, and is removed if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each thread has its own. Pillow knows the format by the suffix.
    part = path.with_name(f"{PART}{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Makes `text` the file's whole content, in UTF-8; of a name that is not UTF-8 the bytes are escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, tree: Any) -> None:
    """Makes `tree` the file's whole content, with null for every number that is not finite: JSON has no nan."""
    write_text(path, json_text(_without_nan(tree)))


def json_text(tree: Any) -> str:
    """Returns the tree as JSON. Bytes of a name that is not UTF-8 become letters: strict readers refuse JSON's escape."""
    half = "[\ud800-\udfff]"  # Python keeps such a byte as half a character
    return re.sub(half, lambda byte: rf"\\u{ord(byte[0]):x}", json.dumps(tree, indent=1, ensure_ascii=False))


def _without_nan(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_nan(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yields a new folder in `folder`, to write what is then moved out of it. It goes when the block ends, in whatever way."""
    part = folder / f"{PART}{os.getpid()}-{threading.get_ident()}-folder"
    part.mkdir(parents=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes the files and folders that a killed process left half written, but none that another process is writing."""
    for part in list(folder.rglob(f"{PART}*")):
        if not _is_at_work(part.name.removeprefix(PART).partition("-")[0]):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def _is_at_work(pid: str) -> bool:
    """Returns whether there is a process of that id, other than this one."""
    if not pid.isdecimal() or int(pid) in (0, os.getpid()):
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
