"""demo: serve a local page that samples a run, live, and inpaints with a brush."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from experiments.build.experiment import Experiment
from experiments.commands.arguments import Call, compile_cache
from experiments.commands.arguments import run as run_folder
from experiments.commands.opening import Needs, open_run, runs_in
from experiments.config.parts import has_marginals
from experiments.data.dataset import first_held_out
from experiments.page.address import opened as bound_socket
from experiments.page.live import Live
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, DataError, UserError
from experiments.runtime.progress import say
from sde_lib import LinearSDE


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
    """Serves the page of a run, or of all arms of a comparison, until it is stopped; nothing of the run changes."""
    options = call.options
    folders = runs_in(options.run)
    try:
        import nicegui  # noqa: F401 of an extra
    except ImportError as error:
        raise ConfigError("demo shows its page by NiceGUI, which is not installed: pip install -e .[page]") from error
    from experiments.page.serve import serve  # a web server, which no other command needs

    door = bound_socket(options.host, options.port, options.anyone)
    serve(_all_live(call, folders), door, options.anyone)


def _all_live(call: Call, folders: list[Path]) -> list[Live]:
    """The runs in these folders. Of several, those that cannot be shown are named and left out; of one, the error is raised."""
    runs = []
    for folder in folders:
        try:
            runs.append(_live(call, folder))
        except UserError as error:
            if folder == folders[-1] and not runs:
                raise
            say(f"warning: {folder} is not shown: {error}")
    return runs


def _live(call: Call, folder: Path) -> Live:
    opened = open_run(call, Needs(data=False), folder)
    experiment = opened.experiment
    if not has_marginals(experiment.config):
        name = experiment.config.objective.name
        raise ConfigError(f"{folder} has no score, by objective {name}, and the brush fills in by one: use sample")
    if not isinstance(experiment.sde, LinearSDE):
        why = "has no alpha(t) and sigma(t) to expect x_0 and to fill in by"
        raise ConfigError(f"{folder} is of {experiment.config.sde.name}, which {why}: use sample")
    opened.refuse_changes(opened.workdir, experiment)
    state = trained_state(experiment, opened.workdir)
    return Live(experiment, experiment.network(state.ema), int(state.step), _held_out(experiment), folder)


def _held_out(experiment: Experiment) -> np.ndarray:
    """The first held-out images or fields, to paint on: none if the data are not there any more, or are of another shape."""
    if len(experiment.shape) == 3:
        try:
            return first_held_out(experiment.config.data, experiment.shape).levels
        except (ConfigError, DataError) as error:
            say(f"warning: samples alone to paint on, and no held-out image: {str(error).splitlines()[0]}")
    return np.zeros((0, *experiment.shape), np.uint8 if experiment.scaler.levels else np.float32)
