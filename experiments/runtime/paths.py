"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def home(path: str) -> Path:
    """Returns a path with ~ as in a shell, which leaves that of --config.lora.run=~/base to us; as it is without a home."""
    return Path(os.path.expanduser(path))
