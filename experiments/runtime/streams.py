"""Standard output and error, whose loss is no reason to stop: the disk of a log is full, a pipe closes, a terminal goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stream:
    """The stream of `sys` with this name, "stdout" or "stderr", as it is at the moment.

    What its encoding lacks is escaped. If it cannot be written to, it is lost; of standard output, a line on the other says so.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._now(), attribute)

    def write(self, text: str) -> int:
        """Writes the text, or loses it."""
        encoding = getattr(self._now(), "encoding", None) or "utf-8"
        with self._or_lost():
            self._now().write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Writes what was held back, or loses it."""
        with self._or_lost():
            self._now().flush()

    def _now(self) -> Any:
        stream = getattr(sys, self._name) or io.StringIO()  # None: it was closed before Python started
        return getattr(stream, "rich_proxied_file", stream)  # rich puts a proxy there, which writes to this one

    @contextmanager
    def _or_lost(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._now().fileno())
            if self._name == "stdout":
                print(f"warning: standard output is lost ({error.strerror}); the work goes on", file=STDERR, flush=True)


STDOUT, STDERR = Stream("stdout"), Stream("stderr")
