"""The command line: `python -m experiments COMMAND`, from its words to an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys

from experiments.commands import (
    ckpt,
    compare,
    data,
    demo,
    edit,
    evaluate,
    export_weights,
    import_weights,
    interpolate,
    keys,
    matrix,
    replay,
    sample,
    sweep,
    train,
)
from experiments.commands.arguments import Call
from experiments.runtime import devices, processes
from experiments.runtime.errors import UserError
from experiments.runtime.failures import LostError, but_tensorstore, ending, explained, lines
from experiments.runtime.signals import Interrupted, stop
from experiments.runtime.startup import PROGRAM
from experiments.runtime.streams import STDERR

TABLE = {
    "train": train,
    "sample": sample,
    "interpolate": interpolate,
    "edit": edit,
    "evaluate": evaluate,
    "compare": compare,
    "sweep": sweep,
    "matrix": matrix,
    "keys": keys,
    "data": data,
    "ckpt": ckpt,
    "replay": replay,
    "demo": demo,
    "import": import_weights,
    "export": export_weights,
}
"""The subcommands, by their names."""


def main(argv: list[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 done, 2 config, 3 data, 4 numerics, 5 storage, 6 another process is at it, 75 stopped and saved.
    """
    argv = sys.argv[1:] if argv is None else argv
    ending.code = None
    parser = make_parser()
    options, overrides = _parsed(parser, argv)
    command = TABLE[options.command]
    if overrides and not getattr(command, "OVERRIDES", True):
        parser.error(f"{options.command} takes no {overrides[0]}")
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # our messages say what Orbax and TFDS would
    sys.unraisablehook = but_tensorstore
    distributed = getattr(options, "distributed", None)
    try:
        stop.check()  # a signal may have come during the seconds of importing jax
        if distributed:
            processes.join(distributed)
        devices.find()
        command.run(Call(f"{PROGRAM} {shlex.join(argv)}", options, overrides))
        if distributed:
            processes.everywhere(True)  # the first may still be writing, and the way out waits no longer than PATIENCE
    except (UserError, Interrupted) as error:
        return _report(options.command, error, error.exit_code)
    except KeyboardInterrupt:
        words = "interrupted; the same command goes on from what was saved"
        return _report(options.command, words, Interrupted.exit_code)
    except Exception as error:
        explanation = explained(error)
        if explanation is None:
            ending.first(1)
            raise
        code = _report(options.command, explanation, explanation.exit_code)
        if isinstance(explanation, LostError):
            os._exit(code)  # the usual way out waits for the others
        return code
    ending.first(0)
    return 0


def _parsed(parser: argparse.ArgumentParser, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of a command and the overrides, which argparse would take for a RUN if they have a space."""
    overrides = [word for word in argv if word.startswith("--config.")]
    options, unknown = parser.parse_known_args([word for word in argv if word not in overrides])
    return options, overrides + unknown


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of every subcommand; the words that it leaves are overrides of the config."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Score-based diffusion from config files.",
        epilog="Any key of the config can be overridden: --config.train.steps=100 --config.sde.name=my_pkg.my_module:MySDE",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{" + ",".join(TABLE) + "}")
    for name, command in TABLE.items():
        its_parser = commands.add_parser(name, help=command.HELP, description=command.HELP, allow_abbrev=False)
        for add in command.ARGUMENTS:
            add(its_parser)
    return parser


def _report(command: str, words: object, code: int) -> int:
    if ending.first(code):
        print(f"{command}: {lines(words)}", file=STDERR, flush=True)
    return code
