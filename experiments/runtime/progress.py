"""Progress with the time left: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.runtime import processes
from experiments.runtime.errors import printable
from experiments.runtime.signals import last_words
from experiments.runtime.streams import STDOUT

console = Console(file=cast(IO[str], STDOUT), highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Prints some lines, in the first process only."""
    if processes.first():
        console.print("\n".join(map(printable, text.splitlines())), markup=False)


@contextmanager
def warned() -> Iterator[None]:
    """Prints the UserWarnings of the block, each once."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        say(f"warning: {warning}")


@contextmanager
def progress(label: str, total: int, start: int = 0, every: float = 10.0) -> Iterator[Callable[[int, str], None]]:
    """Yields `advance(count, note)`. Off a terminal it prints at most one line in `every` seconds, with the time left."""
    if not processes.first():
        yield lambda count, note: None
    elif console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} {task.fields[note]}")
        with Progress(*columns, TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(label, total=total, completed=start, note="")
            with last_words(lambda _: bar.stop()):  # which shows the cursor again
                yield lambda count, note: bar.update(task, completed=count, note=note)
    else:
        began = last = time.monotonic()

        def advance(count: int, note: str) -> None:
            nonlocal last
            now = time.monotonic()
            if count < total and now - last >= every:
                last = now
                left = (now - began) / max(count - start, 1) * (total - count)
                say(f"{label} {count}/{total} {note} eta {left:.0f} s")

        yield advance
