"""Files that are whole or not there, whenever the process dies."""

from __future__ import annotations

import json
import math
import os
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
    """Makes `text` the file's whole content."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, tree: Any) -> None:
    """Makes `tree` the file's whole content, with null for every number that is not finite: JSON has no nan."""
    write_text(path, json.dumps(_without_nan(tree), indent=1, allow_nan=False, ensure_ascii=False))


def _without_nan(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_nan(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def sweep(folder: Path) -> None:
    """Removes the files that a killed process left half written."""
    for part in folder.rglob(f"{PART}*"):
        part.unlink(missing_ok=True)
