"""The number of programs that this process compiled, and the seconds that it took."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax

EVENT = "/jax/core/compile/backend_compile_duration"
"""JAX's name for the time of a compile, or of a read from the cache in its place."""


class Compiles(NamedTuple):
    """A number of `programs` and the `seconds` that it took to compile them, or to read them from the cache."""

    programs: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.programs} programs compiled, or read from the cache, in {self.seconds:.0f} s"


def compiles_from_now() -> Callable[[], Compiles]:
    """Returns the function that counts what has been compiled since this call."""
    seconds, before = _seconds(), len(_seconds())
    return lambda: Compiles(len(seconds) - before, sum(seconds[before:]))


@cache
def _seconds() -> list[float]:
    """The time of every compile since the first call, as JAX tells it."""
    seconds: list[float] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **kwargs: seconds.append(duration_secs) if event == EVENT else None
    )
    return seconds
