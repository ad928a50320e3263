"""The circumstances of a result: versions of packages, time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions, version


def versions() -> str:
    """Returns the versions of the packages that results depend on."""
    return ", ".join(f"{p} {version(p)}" for p in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "diffrax", "numpy"))


def flags() -> dict[str, str]:
    """Returns the environment variables that change what XLA and malloc do."""
    return {name.lower(): os.environ.get(name, "") for name in ("XLA_FLAGS", "GLIBC_TUNABLES")}


@cache
def _packages() -> list[str]:
    """Returns what is installed. It takes a second to list, and is the same for every arm."""
    return sorted(f"{d.name}=={d.version}" for d in distributions())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
