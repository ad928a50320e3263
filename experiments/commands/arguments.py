"""The words of the command line: a call, and the arguments that subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

AddArgument = Callable[[argparse.ArgumentParser], object]


class Call(NamedTuple):
    """A command line. `line`: as it was typed; `options`: its arguments; `overrides`: its --config.key=value."""

    line: str
    options: argparse.Namespace
    overrides: list[str]


def folder(text: str) -> Path:
    """Returns the path of a folder, with ~ as in a shell, which leaves that of --workdir=~/runs to us.

    Raises ArgumentTypeError if it is empty, or if there is no such home folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("it names no folder: is a variable of the shell unset?")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def config(parser: argparse.ArgumentParser) -> None:
    """Adds --config."""
    parser.add_argument("--config", required=True, metavar="FILE", help="a file that defines get_config()")


def workdir(parser: argparse.ArgumentParser) -> None:
    """Adds --workdir."""
    parser.add_argument("--workdir", required=True, type=folder, metavar="DIR", help="where the run lives")


def run(parser: argparse.ArgumentParser) -> None:
    """Adds RUN, an existing run, whose config.json is the config."""
    parser.add_argument("run", type=folder, metavar="RUN", help="the run's folder")


def run_or_workdir(parser: argparse.ArgumentParser) -> None:
    """Adds RUN, or --workdir in its place, and --config, which is the run's own if it is not given."""
    parser.add_argument("run", nargs="?", type=folder, metavar="RUN", help="the run's folder")
    parser.add_argument("--workdir", type=folder, metavar="DIR", help="RUN by another name")
    parser.add_argument("--config", metavar="FILE", help="a file that defines get_config(); the run's own if it is not given")


def step(parser: argparse.ArgumentParser) -> None:
    """Adds --step."""
    parser.add_argument("--step", type=int, metavar="N", help="the number of a step")


def distributed(parser: argparse.ArgumentParser) -> None:
    """Adds --distributed."""
    text = "one of several processes: as the cluster says (Slurm, TPU), or process I of N with its coordinator"
    parser.add_argument("--distributed", metavar="auto|HOST:PORT,N,I", help=text)


def compile_cache(parser: argparse.ArgumentParser) -> None:
    """Adds --no-compile-cache."""
    text = "compile everything anew, and keep nothing of it in ~/.cache/onesde"
    parser.add_argument("--no-compile-cache", action="store_true", help=text)


def allow_change(parser: argparse.ArgumentParser) -> None:
    """Adds --allow-change."""
    text = "a config key, or a prefix of keys, that may differ from the run's own; repeatable"
    parser.add_argument("--allow-change", action="append", default=[], metavar="KEY", help=text)


def no_restart(parser: argparse.ArgumentParser) -> None:
    """Adds --no-restart, which `__main__` reads before anything is imported."""
    text = "do not start again, once, for the memory that XLA:CPU is fast with"
    parser.add_argument("--no-restart", action="store_true", help=text)
