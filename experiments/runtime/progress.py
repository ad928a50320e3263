"""Progress with an ETA: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.runtime.errors import printable

console = Console(highlight=False, soft_wrap=True, quiet=False)


def say(text: str) -> None:
    """Some lines, from the first process only."""
    if jax.process_index() == 0:
        console.print("\n".join(map(printable, text.splitlines())), markup=False)


@contextmanager
def warned() -> Iterator[None]:
    """Says the UserWarnings of what is done inside, each once."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        say(f"warning: {warning}")


@contextmanager
def progress(label: str, total: int, start: int = 0, every: float = 10.0) -> Iterator[Callable[[int, str], None]]:
    """Yields `advance(done, note)`. Off a terminal it prints at most one line in `every` seconds, with the time left."""
    if jax.process_index():
        yield lambda done, note: None
    elif console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} {task.fields[note]}")
        with Progress(*columns, TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(label, total=total, completed=start, note="")
            yield lambda done, note: bar.update(task, completed=done, note=note)
    else:
        began = said = time.monotonic()

        def advance(done: int, note: str) -> None:
            nonlocal said
            now = time.monotonic()
            if done < total and now - said >= every:
                said = now
                left = (now - began) / max(done - start, 1) * (total - done)
                say(f"{label} {done}/{total} {note} eta {left:.0f} s")

        yield advance
