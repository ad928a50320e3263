"""Errors that a user can cause. Each has a few lines that say what, where and the fix, and an exit code."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
OTHERS = (
    *(f"{ROOT / package}{os.sep}" for package in ("sde_lib", "losses", "samplers", "models", "experiments")),
    sysconfig.get_path("stdlib"),
    "<",
)
"""The beginnings of the names of files that are not the user's; all of site-packages is not, either."""


def printable(text: object) -> str:
    """Returns the text on one line, with line ends, control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def brief(error: BaseException) -> str:
    """Returns an error's type and the beginning of its message: Orbax and TensorStore write a page."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def users_line(error: BaseException) -> str:
    """Returns "my_sde.py:5", the last line of a user's own file that an error came through; nothing if it came through none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(OTHERS)]
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "-packages" not in f.filename]
    return own[-1] if own else ""


def blamed(error: BaseException) -> str:
    """Returns the type and the message of an error of a user's code, on one line, and the line of that code if it is known."""
    line = users_line(error)
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}")[:300] + (f" ({line})" if line else "")


class UserError(Exception):
    """An error with one message, or with one line per problem."""

    exit_code = 1

    def __init__(self, lines: str | Sequence[str]):
        super().__init__(lines if isinstance(lines, str) else "\n".join(lines))


class ConfigError(UserError):
    """The config or the command line is wrong."""

    exit_code = 2


class DataError(UserError):
    """The data is missing or malformed."""

    exit_code = 3


class NumericsError(UserError):
    """A number is not finite."""

    exit_code = 4


class StorageError(UserError):
    """A checkpoint or a folder cannot be used."""

    exit_code = 5


class BusyError(UserError):
    """Another process is at work in the folder."""

    exit_code = 6
