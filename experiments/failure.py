"""What went wrong below us, as an error that a user can do something about."""

from __future__ import annotations

import re
from typing import Any

import jax

from experiments.errors import NumericsError, StorageError, UserError

MOST_LINES = 5


def explained(error: BaseException) -> UserError | None:
    """The error in our words, where its cause is the machine: a disk, its memory, another process. None for a fault of ours."""
    words = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return StorageError(f"{error.filename or 'the workdir'}: {error.strerror}; what was saved before is whole")
    if isinstance(error, MemoryError) or (isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in words):
        asked = re.search(r"[\d.]+ ?[KMGT]?i?B|\d+ bytes", words)
        return NumericsError(
            [
                f"out of memory on {jax.device_count()} {jax.devices()[0].device_kind}"
                + (f", asking for {asked[0]}" if asked else ""),
                "in training, try in this order: a smaller train.batch, remat=True, compute=bfloat16, a smaller net",
                "in sampling and evaluation: a smaller evaluate.batch; what was saved before is whole",
            ]
        )
    if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
        return StorageError(
            [
                f"process {jax.process_index()} of {jax.process_count()} lost another one: {words[:160]}",
                "start them all again by the same command, which goes on from the last checkpoint",
            ]
        )
    return None


def lines(error: Any) -> str:
    """What is said of an error: at most five lines, without characters that a terminal would obey."""
    said = [re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", line) for line in str(error).splitlines()]
    if len(said) > MOST_LINES:
        said = [*said[: MOST_LINES - 1], f"and {len(said) - MOST_LINES + 1} more"]
    return "\n".join(said)
