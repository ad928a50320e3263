"""Seconds of steps that a host queues and a device works off."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """`queue` asks for a step and need not wait for it; `wait` returns when all that was asked for is done."""

    queue: Callable[[], Any]
    wait: Callable[[], Any]


def turns(contenders: dict[str, Contender], n: int, rounds: int) -> dict[str, float]:
    """The median seconds a step of each, n in a row, one contender after another in every round; the first does not count.

    Nor does the first step of a turn: what the one before left in caches and threads is not its own.
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
