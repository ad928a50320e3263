"""demo: serve a local page that samples a run, live, and inpaints with a brush."""

from __future__ import annotations

import argparse

import numpy as np

from experiments.commands.arguments import Call, compile_cache
from experiments.commands.arguments import run as run_folder
from experiments.commands.opening import Needs, config_of, open_run
from experiments.page.address import opened as bound_socket
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError


def add_address(parser: argparse.ArgumentParser) -> None:
    """Adds --port, --host and --anyone."""
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="8080 unless it is given; 0: any that is free")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="NAME", help="whom it is served to: this machine alone, by default"
    )
    parser.add_argument("--anyone", action="store_true", help="whoever reaches --host may use the page and this machine's time")


HELP = "serve a local page that samples a run, live, and inpaints with a brush"
ARGUMENTS = (run_folder, add_address, compile_cache)


def run(call: Call) -> None:
    """Serves the page until it is stopped; nothing of the run changes."""
    options = call.options
    config_of(options.run)
    try:
        import nicegui  # noqa: F401 of an extra
    except ImportError as error:
        raise ConfigError("demo shows its page by NiceGUI, which is not installed: pip install -e .[page]") from error
    from experiments.page.serve import serve  # a web server, which no other command needs

    door = bound_socket(options.host, options.port, options.anyone)
    opened = open_run(call, Needs(data=False), options.run)
    experiment, folder = opened.experiment, opened.workdir
    opened.refuse_changes(folder, experiment)
    held_out = opened.data.test if opened.data else np.zeros((0, *experiment.shape), np.uint8)
    state = trained_state(experiment, folder)
    serve(experiment, state._replace(ema=experiment.network(state.ema)), held_out, options.run, door, options.anyone)
