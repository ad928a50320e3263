"""python -m experiments {train,sample,interpolate,edit,evaluate,compare} --config=FILE --workdir=DIR [--config.key=value ...]

python -m experiments matrix
python -m experiments data check --config=FILE [--config.key=value ...]
python -m experiments ckpt {verify,rollback} RUN [--step=N]
python -m experiments replay RUN --step=N
python -m experiments demo RUN [--port=N] [--host=NAME] [--config.key=value ...]
python -m experiments import SOURCE OUT [--layout=NAME] [--weights=ema|raw] [--config=FILE] [--config.key=value ...]
python -m experiments export RUN OUT [--layout=NAME]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any

from experiments.commands import matrix
from experiments.commands.arguments import parser as command_line
from experiments.commands.ckpt import checkpoints
from experiments.commands.data import check_data
from experiments.commands.demo import door
from experiments.commands.import_export import bridge
from experiments.commands.opening import run
from experiments.runtime import processes
from experiments.runtime.errors import StorageError, UserError
from experiments.runtime.failures import LostError, ending, explained, lines
from experiments.runtime.signals import Interrupted, stop


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    0 done, 2 config, 3 data, 4 numerics, 5 storage, 6 another process is at it, 75 stopped and saved.
    """
    argv = sys.argv[1:] if argv is None else argv
    ending.code = None
    parser = command_line()
    arguments, overrides = parser.parse_known_args(argv)
    if overrides and arguments.command in ("matrix", "ckpt"):
        parser.error(f"{arguments.command} takes no {overrides[0]}")
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what Orbax and TFDS have to say is ours to report
    sys.unraisablehook = _but_tensorstore
    try:
        _command(arguments, overrides, "python -m experiments " + " ".join(argv))
    except (UserError, Interrupted) as error:
        return _said(arguments.command, error, error.exit_code)
    except KeyboardInterrupt:
        return _said(arguments.command, "interrupted; the same command goes on from the last checkpoint", Interrupted.exit_code)
    except Exception as error:
        known = explained(error)
        if known is None:
            ending.first(1)
            raise
        code = _said(arguments.command, known, known.exit_code)
        if isinstance(known, LostError):
            os._exit(code)  # the usual way out waits for the others
        return code
    ending.first(0)
    return 0


def _but_tensorstore(report: Any) -> None:
    """Leaves out what it says of reads that failed after the first, which is reported."""
    if not str(report.exc_value).startswith(("Event loop is closed", "Encountered error while reading array")):
        sys.__unraisablehook__(report)


def _said(command: str, words: object, code: int) -> int:
    if ending.first(code):
        print(f"{command}: {lines(words)}", file=sys.stderr, flush=True)
    return code


def _command(arguments: argparse.Namespace, overrides: list[str], line: str) -> None:
    """One command, from its words to its files."""
    command = arguments.command
    stop.check()  # what came during the seconds of importing jax
    if command == "matrix":
        print(matrix.table())
    elif command == "data":
        check_data(arguments, overrides)
    elif command == "ckpt":
        checkpoints(arguments)
    elif command in ("import", "export"):
        bridge(arguments, overrides)
    else:
        if command in ("replay", "demo"):
            if not (arguments.run / "config.json").is_file():
                arms = ", ".join(sorted(str(file.parent) for file in arguments.run.glob("*/config.json")))
                raise StorageError(f"{arguments.run} holds no run" + (f"; below it is {arms}" if arms else ""))
            arguments.config, arguments.workdir = str(arguments.run / "config.json"), arguments.run
        elif arguments.distributed:
            processes.join(arguments.distributed)
        if command == "demo":
            arguments.door = door(arguments)
        run(arguments, overrides, line)
        processes.everywhere(True)  # the first may still be writing, and the way out waits for it no longer than PATIENCE
