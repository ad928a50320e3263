"""data: look at every example of a config's data, or prepare a data set from its archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.arguments import Call, folder
from experiments.commands.opening import make_plan
from experiments.config.messages import shorten
from experiments.config.reading import read_config
from experiments.config.tiny import tiny
from experiments.data.archives import ARCHIVES
from experiments.data.check import check
from experiments.data.prepare import prepare
from experiments.runtime.errors import ConfigError

DATA_DIR = "--config.data.data_dir="


def add_action(parser: argparse.ArgumentParser) -> None:
    """Adds the action."""
    text = "name every example that cannot be used; or write the data set NAME as TFDS would, without TensorFlow"
    parser.add_argument("action", choices=("check", "prepare"), help=text)


def add_check(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --listing, which are for check."""
    parser.add_argument("--config", metavar="FILE", help="check: a file that defines get_config()")
    parser.add_argument("--listing", type=folder, metavar="FILE", help="check: where to write all of what is wrong")


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """Adds NAME and --from, which are for prepare."""
    names = ", ".join(ARCHIVES)
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"prepare: {names}; any other name for a folder of images")
    text = "prepare: the archive as it was downloaded, or a folder that holds it, packed or unpacked"
    parser.add_argument("--from", dest="place", type=folder, metavar="ARCHIVE", help=text)


HELP = "look at every example of a config's data, or prepare a data set from its archive"
ARGUMENTS = (add_action, add_check, add_prepare)


def run(call: Call) -> None:
    """Decodes every example once, and names those that cannot be used; or prepares a data set."""
    options = call.options
    if options.action == "prepare":
        prepare(*_archive(call), _data_dir(call.overrides))
        return
    if options.name is not None or options.place is not None:
        raise ConfigError("data check takes a config, --config=FILE, and no NAME or --from, which are for data prepare")
    if options.config is None:
        raise ConfigError("data check: give the config whose data is to be looked at, --config=FILE")
    plan = make_plan(read_config(options.config, call.overrides, {"tiny": tiny}))
    assert plan.sources is not None
    check(plan.sources, plan.base.data, options.listing)


def _archive(call: Call) -> tuple[str, Path]:
    """The name of the data set and the place of its archive."""
    options = call.options
    if options.config is not None or options.listing is not None:
        raise ConfigError("data prepare takes NAME and --from=ARCHIVE, and no --config or --listing, which are for data check")
    if options.name is None or options.place is None:
        example = "data prepare cifar10 --from=cifar-10-binary.tar.gz"
        raise ConfigError([f"name the data set and its archive, as in {example}", f"there are {', '.join(ARCHIVES)}"])
    return options.name, options.place


def _data_dir(overrides: list[str]) -> str:
    """The folder to write to; "" is that of TFDS."""
    if others := [override for override in overrides if not override.startswith(DATA_DIR)]:
        raise ConfigError(f"data prepare reads no config, and takes {DATA_DIR}DIR alone of its keys, not {shorten(others[0])}")
    return overrides[-1].removeprefix(DATA_DIR) if overrides else ""
