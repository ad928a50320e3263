"""data: look at every example of a config's data."""

from __future__ import annotations

import argparse

from experiments.commands.arguments import Call, config, folder
from experiments.commands.opening import make_plan
from experiments.config.reading import read_config
from experiments.config.tiny import tiny
from experiments.data.check import check


def add_action(parser: argparse.ArgumentParser) -> None:
    """Adds the action."""
    parser.add_argument("action", choices=("check",), help="name every example that cannot be used")


def add_listing(parser: argparse.ArgumentParser) -> None:
    """Adds --listing."""
    parser.add_argument("--listing", type=folder, metavar="FILE", help="where to write all of what is wrong")


HELP = "look at every example of a config's data"
ARGUMENTS = (add_action, config, add_listing)


def run(call: Call) -> None:
    """Decodes every example once, and names those that cannot be used."""
    plan = make_plan(read_config(call.options.config, call.overrides, {"tiny": tiny}))
    assert plan.sources is not None
    check(plan.sources, plan.base.data, call.options.listing)
