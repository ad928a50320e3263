"""data: look at every example of a config's data."""

from __future__ import annotations

import argparse

from experiments.commands.opening import judge
from experiments.config.arms import resolve_arms
from experiments.config.reading import read_config
from experiments.config.schema import Data
from experiments.config.tiny import tiny
from experiments.data import check


def check_data(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """data check."""
    tree = read_config(arguments.config, overrides, {"tiny": tiny})
    sources = judge(tree, resolve_arms(tree))
    assert sources is not None
    check.check(sources, Data.model_validate(tree["data"]), arguments.listing)
