"""Signals set a flag that long work reads at its own safe points. Work that does not read it in time is ended."""

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
"""Seconds from a signal to the end of work that does not read the flag: a compile, or a call of a long sampler."""
ECHO = 0.5
"""Seconds within which a second signal counts as the first: a launcher may send one on to a group that has had it."""
TICK = 0.1


class Interrupted(Exception):
    """The user asked to stop; the state is saved, and the same command goes on. Exit code 75."""

    exit_code = 75


class Stop:
    """The flag `asked`: a signal has come. Two more keep the process from an end that would lose work.

    While `unsaved` is set, no checkpoint holds the newest steps; while any of `writing` is true, one is on its way to the disk.
    """

    def __init__(self) -> None:
        self.asked = False
        self.unsaved = False
        self.writing: list[Callable[[], bool]] = []
        self.last_words: list[Callable[[str], object]] = []

    def check(self) -> None:
        """Raises Interrupted if asked to stop: for work that has nothing to save."""
        if self.asked:
            raise Interrupted("stopped; nothing that was saved is lost, and the same command starts this part again")


stop = Stop()


@contextmanager
def last_words(speak: Callable[[str], object]) -> Iterator[None]:
    """Calls `speak(why)`, in another thread, if the process is ended in the middle of the block."""
    stop.last_words.append(speak)
    try:
        yield
    finally:
        stop.last_words.remove(speak)


def listen(grace: float = GRACE) -> None:
    """Makes a signal set `stop.asked`. A second one ends the process at once; `grace` seconds without an answer end it too.

    A thread waits for signals, because Python's own handlers would first wait for XLA to come back.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    for s in SIGNALS:
        signal.signal(s, lambda number, frame: None)
    threading.Thread(target=_watch, args=(reader, writer, grace), daemon=True).start()


def _watch(reader: socket.socket, writer: socket.socket, grace: float) -> None:
    """Waits for a first signal, then for a second or for `grace` to pass. Holding `writer` keeps it open."""
    reader.recv(1)
    stop.asked, began = True, time.monotonic()
    reader.settimeout(TICK)
    while True:
        waited = lambda: time.monotonic() - began
        try:
            reader.recv(1)
            if waited() > ECHO:
                _end("stopped at once")
        except TimeoutError:
            if waited() > grace and not stop.unsaved and not any(writing() for writing in stop.writing):
                _end(f"stopped in the middle of a computation, {waited():.0f} s after it was asked to")


def _end(why: str) -> None:
    exit_now(why, f"{why}; what was saved is whole, and the same command goes on from that", Interrupted.exit_code)


def exit_now(why: str, words: str, code: int) -> None:
    """Ends the process from any thread, with a line on standard error, after the last words of what it is in."""

    def speak() -> None:
        for last in reversed(stop.last_words):
            with suppress(Exception):
                last(why)

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    speaker.join(1.0)  # and no longer, if a disk hangs
    with suppress(OSError):
        os.write(2, f"{words}\n".encode())
    os._exit(code)
