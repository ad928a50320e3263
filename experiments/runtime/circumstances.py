"""The circumstances of a result: versions, machine, time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions, version


def versions() -> str:
    """Of what numbers depend on."""
    return ", ".join(f"{p} {version(p)}" for p in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "diffrax", "numpy"))


def flags() -> dict[str, str]:
    """Returns the environment variables that change what XLA and malloc do."""
    return {name.lower(): os.environ.get(name, "") for name in ("XLA_FLAGS", "GLIBC_TUNABLES")}


@cache
def _packages() -> list[str]:
    """What is installed: a second to list, and the same for every arm."""
    return sorted(f"{d.name}=={d.version}" for d in distributions())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
