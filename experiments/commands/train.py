"""train: train one experiment; the same command goes on with it."""

from __future__ import annotations

import argparse

from experiments.commands.arguments import Call, allow_change, compile_cache, config, distributed, folder, no_restart, workdir
from experiments.commands.opening import Needs, open_run
from experiments.runs.resume import fork, refuse_fork
from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say
from experiments.training.loop import train


def add_fork(parser: argparse.ArgumentParser) -> None:
    """Adds --fork."""
    text = "a new run in DIR, from the newest state of the one in --workdir"
    parser.add_argument("--fork", type=folder, metavar="DIR", help=text)


HELP = "train one experiment, or go on with it"
ARGUMENTS = (config, workdir, distributed, compile_cache, no_restart, allow_change, add_fork)


def run(call: Call) -> None:
    """Trains to train.steps, from the newest checkpoint of the folder, or of the run that --fork copies."""
    opened = open_run(call, Needs(run=False, training=True, score=False))
    source, target = opened.workdir, call.options.fork
    if target and target.resolve() == source.resolve():
        raise ConfigError(f"--fork={target} is --workdir itself: name a new folder")
    home = target.absolute() if target else source
    if target:
        refuse_fork(source, home)
    with opened.held({"": home}) as records:
        if target:
            fork(opened.experiment, source, home, records[""])
        callbacks = getattr(call.options, "callbacks", ())  # of a call from Python
        state = train(opened.experiment, opened.dataset, home, records[""], callbacks)
        say(f"train: done at step {int(state.step)}, in {home}")
