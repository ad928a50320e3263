"""The circumstances of a result: devices, versions of packages, time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions, version

import jax


def versions() -> str:
    """Returns the versions of the packages that results depend on."""
    return ", ".join(f"{p} {version(p)}" for p in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "diffrax", "numpy"))


def circumstances() -> dict[str, str]:
    """Returns the devices and versions that a result was computed by."""
    return {"devices": f"{jax.device_count()} {jax.devices()[0].device_kind}", "versions": versions()}


def flags() -> dict[str, str]:
    """Returns the environment variables that change what XLA and malloc do."""
    return {name.lower(): os.environ.get(name, "") for name in ("XLA_FLAGS", "GLIBC_TUNABLES")}


@cache
def _packages() -> list[str]:
    """Returns what is installed. It takes a second to list, and is the same for every arm."""
    return sorted(f"{d.name}=={d.version}" for d in distributions())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
