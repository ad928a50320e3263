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
import socket
import sys
from typing import Any

from experiments import cli, data_check, matrix, parallel
from experiments import config as configs
from experiments.branch import go_back
from experiments.bridge.commands import briefly, export_run, import_run
from experiments.by_config import judge, run
from experiments.checkpoint import Checkpoints
from experiments.errors import ConfigError, StorageError, UserError
from experiments.failure import LostError, ending, explained, lines
from experiments.interrupt import Interrupted, stop
from experiments.lock import sole
from experiments.page.door import opened
from experiments.progress import say
from experiments.record import read
from experiments.schema import Data
from experiments.tiny import tiny


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    0 done, 2 config, 3 data, 4 numerics, 5 storage, 6 another process is at it, 75 stopped and saved.
    """
    argv = sys.argv[1:] if argv is None else argv
    ending.code = None
    parser = cli.parser()
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
            parallel.join(arguments.distributed)
        if command == "demo":
            arguments.door = door(arguments)
        run(arguments, overrides, line)
        parallel.everywhere(True)  # the first may still be writing, and the way out waits for it no longer than PATIENCE


def door(arguments: argparse.Namespace) -> socket.socket:
    """Where the page will be served. ConfigError, before all else, where it cannot be."""
    try:
        import nicegui  # noqa: F401 of an extra
    except ImportError as error:
        raise ConfigError("demo shows its page by NiceGUI, which is not installed: pip install -e .[page]") from error
    return opened(arguments.host, arguments.port, arguments.anyone)


def check_data(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """data check."""
    tree = configs.read(arguments.config, overrides, {"tiny": tiny})
    sources = judge(tree, configs.arms(tree))
    assert sources is not None
    data_check.check(sources, Data.model_validate(tree["data"]), arguments.listing)


def checkpoints(arguments: argparse.Namespace) -> None:
    """ckpt verify, or ckpt rollback."""
    run, record = arguments.run, read(arguments.run)
    if record is None or not (run / "checkpoints").is_dir():
        raise StorageError(f"{run} holds no run with checkpoints")
    if arguments.action == "rollback":
        if arguments.step is None:
            raise ConfigError("ckpt rollback: say to which of its checkpoints, --step=N")
        with sole(run):
            go_back(run, arguments.step)
        return
    with Checkpoints(run / "checkpoints", record.id, writing=False) as there:
        steps = there.steps()
        if not steps or arguments.step not in (None, *steps):
            which = "checkpoint" if arguments.step is None else f"checkpoint {arguments.step}"
            raise StorageError(f"{run} has no {which} (there are {', '.join(map(str, steps)) or 'none'})")
        found = dict(there.verify(arguments.step))
    for step, wrong in found.items():
        say(f"step {step}: {wrong or 'sound'}")
    if any(found.values()):
        raise StorageError(f"{sum(map(bool, found.values()))} of {len(found)} checkpoints of {run} are not sound")


def bridge(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """import or export."""
    out = arguments.out
    with briefly(out):
        if arguments.command == "export":
            export_run(arguments.run, out, arguments.layout, overrides)
        else:
            import_run(arguments.source, out, arguments.layout, arguments.weights, arguments.config, overrides)
