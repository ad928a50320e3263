"""Signals as a question that long work asks at its own safe points, and an end for work that does not ask in time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE = 7.0
"""Seconds from a signal to the end of what does not ask: a compile, or a call of a long sampler."""
TICK = 0.1


class Interrupted(Exception):
    """Asked to stop; the state is saved and the same command goes on. Exit code 75."""

    exit_code = 75


class Stop:
    """Whether a signal has come: `asked`. No end is made in the middle, where it would lose work:

    while `unsaved` is set, steps are done that no checkpoint holds; while `writing()`, one is on its way to the disk.
    """

    def __init__(self) -> None:
        self.asked = False
        self.unsaved = False
        self.writing: Callable[[], bool] = lambda: False
        self.last_words: list[Callable[[str], object]] = []

    def check(self) -> None:
        """Raises Interrupted if asked to stop: for work that has nothing to save."""
        if self.asked:
            raise Interrupted("stopped; nothing that was saved is lost, and the same command starts this part again")


stop = Stop()


@contextmanager
def last_words(speak: Callable[[str], object]) -> Iterator[None]:
    """`speak(why)` is called, in a thread beside, should the process be ended in the middle of what is inside."""
    stop.last_words.append(speak)
    try:
        yield
    finally:
        stop.last_words.remove(speak)


@contextmanager
def interruptible(grace: float = GRACE) -> Iterator[None]:
    """A signal inside sets `stop.asked`; a second one ends the process at once, and so does `grace` without an answer.

    A thread waits for signals, since Python's own handlers would first wait for XLA to come back.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno())
    before = {s: signal.signal(s, lambda number, frame: None) for s in SIGNALS}
    threading.Thread(target=_watch, args=(reader, grace), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for s, handler in before.items():
            signal.signal(s, handler)
        writer.close()
        stop.asked = stop.unsaved = False


def _watch(reader: socket.socket, grace: float) -> None:
    """Waits for a first signal, then for a second or for `grace` to pass; ends when the other side is closed."""
    if not reader.recv(1):
        return
    stop.asked, began = True, time.monotonic()
    reader.settimeout(TICK)
    while True:
        try:
            if not reader.recv(1):
                return
            _end("stopped at once")
        except TimeoutError:
            waited = time.monotonic() - began
            if waited > grace and not stop.unsaved and not stop.writing():
                _end(f"stopped in the middle of a computation, {waited:.0f} s after it was asked to")


def _end(why: str) -> None:
    def speak() -> None:
        for words in reversed(stop.last_words):
            with suppress(Exception):
                words(why)

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    speaker.join(1.0)  # a disk that hangs does not keep it
    os.write(2, f"{why}; what was saved is whole, and the same command goes on from there\n".encode())
    os._exit(Interrupted.exit_code)
