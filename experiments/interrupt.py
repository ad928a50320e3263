"""Signals as a question that long work asks at its own safe points."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """Asked to stop; the state is saved and the same command goes on. Exit code 75."""

    exit_code = 75


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields `asked()`: whether a signal has come. A second signal acts at once, as it would have without us."""
    asked = False
    before = {s: signal.getsignal(s) for s in SIGNALS}

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])

    for s in SIGNALS:
        signal.signal(s, note)
    try:
        yield lambda: asked
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
