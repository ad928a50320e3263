"""Seconds of steps that a host queues and a device works off."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """`queue` starts a step and need not wait for it; `wait` returns when every step has ended."""

    queue: Callable[[], Any]
    wait: Callable[[], Any]


def turns(contenders: dict[str, Contender], n: int, rounds: int) -> dict[str, float]:
    """Returns the median seconds a step of each: n steps in a row, one contender after another in every round.

    The first round does not count. Neither does the first step of a turn: caches and threads are still the contender's before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name, (queue, wait) in contenders.items():
            queue()
            wait()
            begin = time.perf_counter()
            for _ in range(n):
                queue()
            wait()
            if i:
                seconds[name].append((time.perf_counter() - begin) / n)
    return {name: median(each) for name, each in seconds.items()}
