"""The circumstances of a benchmark's figures."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

from experiments.runtime.circumstances import flags


def circumstances(*packages: str) -> dict[str, Any]:
    """Returns the machine, its flags, and the versions of jax and of `packages` (None if one is not installed)."""
    return {
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {name: _version(name) for name in ("jax", "jaxlib", "flax", *packages)},
        **flags(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
