"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def home(path: str) -> Path:
    """Returns a path with ~ as in a shell, which leaves that of --config.lora.run=~/base to us; as it is without a home."""
    return Path(os.path.expanduser(path))


def is_file(path: str | Path) -> bool:
    """Returns whether there is such a file; False too, unlike Path.is_file, for what the system takes for no path."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """Returns whether there is such a folder; False too, unlike Path.is_dir, for what the system takes for no path."""
    return os.path.isdir(path)
