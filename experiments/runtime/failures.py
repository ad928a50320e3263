"""Errors of jax and of the system, as errors that a user can do something about."""

from __future__ import annotations

import re
import sys
from typing import Any

import jax

from experiments.runtime import supervisor
from experiments.runtime.errors import NumericsError, StorageError, UserError, printable

MOST_LINES = 5


class LostError(StorageError):
    """Another process of this run is gone."""


def explained(error: BaseException) -> UserError | None:
    """Returns the error in our words if the machine is its cause: a disk, memory, another process. None: the fault is ours."""
    message = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return StorageError(f"{error.filename or 'the workdir'}: {error.strerror}; what was saved before is whole")
    if isinstance(error, MemoryError) or (isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in message):
        size = re.search(r"[\d.]+ ?[KMGT]?i?B|\d+ bytes", message)
        return NumericsError(
            [
                f"out of memory on {jax.device_count()} {jax.devices()[0].device_kind}"
                + (f", asking for {size[0]}" if size else ""),
                "in training, try in this order: train.accumulate=2 or more, remat=True, compute=bfloat16, "
                "a smaller train.batch or net",
                "in sampling and evaluation: a smaller evaluate.batch; what was saved before is whole",
            ]
        )
    if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
        return LostError(
            [f"process {jax.process_index()} of {jax.process_count()} lost another one: {message[:160]}", supervisor.AGAIN]
        )
    return None


def lines(error: Any) -> str:
    """Returns an error's message: at most five lines, without characters that a terminal would obey."""
    message = [printable(line) for line in str(error).splitlines()]
    if len(message) > MOST_LINES:
        message = [*message[: MOST_LINES - 1], f"and {len(message) - MOST_LINES + 1} more"]
    return "\n".join(message)


class Ending:
    """The exit code that this process is ending with, once it has said so. jaxlib may abort it even then."""

    def __init__(self) -> None:
        self.code: int | None = None

    def first(self, code: int) -> bool:
        """Sets the code and returns True, unless one was set before: the first message about the end is the only one."""
        if self.code is not None:
            return False
        self.code = code
        supervisor.report(code)
        return True


ending = Ending()


def but_tensorstore(report: Any) -> None:
    """Shows an exception that nobody can catch, but for those of reads that failed after the first, which is reported."""
    if not str(report.exc_value).startswith(("Event loop is closed", "Encountered error while reading array")):
        sys.__unraisablehook__(report)
