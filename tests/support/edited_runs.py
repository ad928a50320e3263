"""Experiments and held-out digits that edits are tested on."""

import jax.numpy as jnp
import pytest
from oracle import Mixture

from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.main import main

DIGITS = "configs/digits/vp.py:tiny"


DATA = Mixture(jnp.array([[-0.6, 0.2], [0.5, -0.4]]), 0.2, jnp.array([0.4, 0.6]))
"""Of which the score is exact, in the place of a network's."""


def experiment_of(*overrides, config="configs/toy2d/moons.py", shape=(2,)):
    """Of two samplers, one with noise and one without."""
    ancestral = "{'step': 'ancestral', 'grid': {'name': 'log_snr_grid', 'log_snr_max': 6.0}, 'n': 40, 'denoise': True}"
    ode = "{'step': 'dpmpp_2m', 'grid': {'name': 'log_snr_grid', 'log_snr_max': 6.0}, 'n': 40, 'denoise': True}"
    two = f"--config.samplers={{'ancestral': {ancestral}, 'ode': {ode}}}"
    tree = read_config(config, [two, "--config.edit.rows=16", *overrides], {"tiny": tiny})
    return build(Config.model_validate(tree), shape)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of a few steps, which the tests of this file share."""
    folder = tmp_path_factory.mktemp("digits")
    assert main(["train", f"--config={DIGITS}", f"--workdir={folder}"]) == 0
    return folder


def edited(folder, *overrides):
    """The command on a run, by its own config."""
    return main(["edit", f"--config={folder}/config.json", f"--workdir={folder}", "--config.edit.rows=2", *overrides])
