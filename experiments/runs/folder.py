"""samples/step_N.png of a run: the picture that training draws at step N."""

from __future__ import annotations

from pathlib import Path


def picture_at(run: Path, step: int) -> Path:
    """Where the picture of a step is, or will be."""
    return run / "samples" / f"step_{step:07d}.png"


def pictures_after(run: Path, step: int) -> list[Path]:
    """The pictures that there are of later steps; files of other names are the user's."""
    numbers = {path: path.stem.removeprefix("step_") for path in (run / "samples").glob("step_*.png")}
    return [path for path, number in numbers.items() if number.isdecimal() and int(number) > step]
