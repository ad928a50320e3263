"""What went wrong below us, as an error that a user can do something about."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from typing import Any

import jax

from experiments.runtime.errors import NumericsError, StorageError, UserError, printable
from experiments.runtime.signals import Interrupted, stop

MOST_LINES = 5
AGAIN = "start them all again by the same command, which goes on from the last checkpoint"


class LostError(StorageError):
    """Another process of this run is gone."""


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
                "in training, try in this order: train.accumulate=2 or more, remat=True, compute=bfloat16, "
                "a smaller train.batch or net",
                "in sampling and evaluation: a smaller evaluate.batch; what was saved before is whole",
            ]
        )
    if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
        return LostError([f"process {jax.process_index()} of {jax.process_count()} lost another one: {words[:160]}", AGAIN])
    return None


def lines(error: Any) -> str:
    """What is said of an error: at most five lines, without characters that a terminal would obey."""
    said = [printable(line) for line in str(error).splitlines()]
    if len(said) > MOST_LINES:
        said = [*said[: MOST_LINES - 1], f"and {len(said) - MOST_LINES + 1} more"]
    return "\n".join(said)


class Ending:
    """How a process ends whose peers are gone. jaxlib aborts it, from whatever thread, with a page of its own words."""

    def __init__(self) -> None:
        self.code: int | None = None
        self._keep: Any = None

    def first(self, code: int) -> bool:
        """Whether nothing was said yet of how this process ends; who is first says it, and with what code."""
        if self.code is not None:
            return False
        self.code = code
        return True

    def prepare(self, who: str) -> None:
        """From here on an abort is a line of `who`, and the code that the process was ending with, or else 5."""

        # Of C, for Python would run a handler of its own only after the abort.
        @ctypes.CFUNCTYPE(None, ctypes.c_int)
        def aborted(number: int) -> None:
            if self.first(Interrupted.exit_code if stop.asked else LostError.exit_code):
                why = "stopped" if stop.asked else "another process is gone, or did not come"
                os.write(2, f"{who}: {why} (TF_CPP_MIN_LOG_LEVEL=0 shows what jaxlib says of it)\n{AGAIN}\n".encode())
            else:
                time.sleep(0.2)  # the main thread may be in the middle of its words
            os._exit(self.code or 0)

        self._keep = aborted  # or it is collected, and C jumps into nothing
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal(signal.SIGABRT, ctypes.cast(aborted, ctypes.c_void_p))


ending = Ending()


def but_tensorstore(report: Any) -> None:
    """Shows an exception that nobody can catch, but for those of reads that failed after the first, which is reported."""
    if not str(report.exc_value).startswith(("Event loop is closed", "Encountered error while reading array")):
        sys.__unraisablehook__(report)
