"""The words of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from experiments.runtime.startup import RESTARTED
from experiments.weights.published.layouts import EXPORTS, LAYOUTS, OURS


def _folder(words: str) -> Path:
    if not words:
        raise argparse.ArgumentTypeError("it names no folder: is a variable of the shell unset?")
    return Path(words)


BY_CONFIG = {
    "train": "train one experiment, or go on with it",
    "sample": "draw images from a trained run",
    "interpolate": "show what lies between held-out examples, by a trained run",
    "edit": "make other versions of held-out examples, by a trained run",
    "evaluate": "measure a trained run and write its report",
    "compare": "train and evaluate every arm of a config, in one report",
}


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments; what it leaves over are overrides of the config."""
    top = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Score-based diffusion from config files.",
        epilog="Any key of the config can be overridden: --config.train.steps=100 --config.sde.name=my_pkg.my_module:MySDE",
        allow_abbrev=False,
    )
    names = ",".join([*BY_CONFIG, "matrix", "data", "ckpt", "replay", "demo", "import", "export"])
    commands = top.add_subparsers(dest="command", required=True, metavar="{" + names + "}")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, allow_abbrev=False)

    for name, text in BY_CONFIG.items():
        _add_config(command := add(name, text))
        command.add_argument("--workdir", required=True, type=_folder, metavar="DIR", help="where the run lives")
        command.add_argument(
            "--distributed",
            metavar="auto|HOST:PORT,N,I",
            help="one of several processes: as the cluster says (Slurm, TPU), or process I of N with its coordinator",
        )
        _add_cache(command)
        if name in RESTARTED:
            text = "do not start again, once, for the memory that XLA:CPU is fast with"
            command.add_argument("--no-restart", action="store_true", help=text)
        if name in ("train", "compare"):
            text = "a key, or the beginning of several, that a run may go on with otherwise than it began; may be repeated"
            command.add_argument("--allow-change", action="append", default=[], metavar="KEY", help=text)
        if name == "train":
            text = "a new run in DIR, from the newest state of the one in --workdir"
            command.add_argument("--fork", type=_folder, metavar="DIR", help=text)
    add("matrix", "print which SDE, objective, draw of t, sampler and likelihood work together")
    _add_data(add("data", "look at every example of a config's data"))
    command = add("ckpt", "verify a run's checkpoints, or go back to one")
    text = "read and check all of them, or set aside what came after --step"
    command.add_argument("action", choices=("verify", "rollback"), help=text)
    _add_run(command)
    _add_run(command := add("replay", "repeat one step of a run, and say what in it was not finite"), step_needed=True)
    _add_cache(command)
    _add_page(add("demo", "serve a local page that samples a run, live, and inpaints with a brush"))
    _add_bridge(add)
    return top


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", required=True, metavar="FILE", help="a file that defines get_config()")


def _add_cache(command: argparse.ArgumentParser) -> None:
    text = "compile everything anew, and keep nothing of it in ~/.cache/onesde"
    command.add_argument("--no-compile-cache", action="store_true", help=text)


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("check",), help="name every example that cannot be used")
    _add_config(command)
    command.add_argument("--listing", type=Path, metavar="FILE", help="where to write all of what is wrong")


def _add_run(command: argparse.ArgumentParser, step_needed: bool = False) -> None:
    command.add_argument("run", type=_folder, metavar="RUN", help="the run's folder")
    command.add_argument("--step", type=int, metavar="N", required=step_needed, help="the number of a step")


def _add_page(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", type=_folder, metavar="RUN", help="the run's folder")
    command.add_argument("--port", type=int, default=8080, metavar="N", help="8080 unless it is given; 0: any that is free")
    command.add_argument(
        "--host", default="127.0.0.1", metavar="NAME", help="whom it is served to: this machine alone, by default"
    )
    command.add_argument(
        "--anyone", action="store_true", help="whoever reaches --host may use the page and this machine's time"
    )
    _add_cache(command)


def _add_bridge(add: Any) -> None:
    """The two commands between our runs and others' files."""
    command = add("import", "make a run of weights from elsewhere, or from export")
    command.add_argument("source", type=Path, metavar="SOURCE", help="a folder of diffusers or of ours, or a file of tensors")
    command.add_argument("out", type=Path, metavar="OUT", help="the run's folder, which is made")
    command.add_argument("--layout", metavar="NAME", help="whose names a file's tensors have: " + ", ".join(LAYOUTS))
    command.add_argument("--weights", choices=("ema", "raw"), help="the average of a file's parameters (the default), or not")
    command.add_argument("--config", metavar="FILE", help="the config of a file that says nothing of its network")
    command = add("export", "write a run's averaged parameters and config as a folder for elsewhere")
    command.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    command.add_argument("out", type=Path, metavar="OUT", help="the folder, which is made")
    command.add_argument("--layout", metavar="NAME", default="native", help="its form: " + ", ".join([*OURS, *EXPORTS]))
