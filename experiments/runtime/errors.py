"""Errors that a user can cause. Each has a few lines that say what, where and the fix, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: object) -> str:
    """Returns the text on one line, with line ends, control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def brief(error: BaseException) -> str:
    """Returns an error's type and the beginning of its message: Orbax and TensorStore write a page."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


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
