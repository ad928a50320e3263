"""The programs that an accelerator gets, read ahead of time: none need be there."""

import re

import jax
import numpy as np
import pytest

from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.data.dataset import Batch
from experiments.runs.resume import state_shapes
from experiments.runtime import devices
from experiments.training.program import arguments_of, program

pytestmark = [pytest.mark.usefixtures("in_root"), pytest.mark.slow]
PLATFORMS = "cuda", "tpu"
NETWORKS = {"DDPM++": "configs/cifar10/ddpmpp_continuous_vp.py:tiny", "DiT": "configs/digits/jit.py:tiny"}
RANDOM = {"cuda": {"cu_threefry2x32_ffi"}, "tpu": set()}
"""The calls that JAX itself makes."""


def experiment(name):
    """A narrow one in bfloat16."""
    tree = read_config(NETWORKS[name], ["--config.compute=bfloat16"], {"tiny": tiny})
    return build(Config.model_validate(tree), (8, 8, 1))


def step(experiment, platform):
    """The program of two steps of training."""
    state, split = state_shapes(experiment), devices.over_data(1)
    leading = 2, experiment.config.train.batch
    levels = jax.ShapeDtypeStruct((*leading, *experiment.shape), np.uint8, sharding=split)
    y = jax.ShapeDtypeStruct(leading, np.int32, sharding=split) if experiment.classes else None
    advance = program([experiment], state)
    call = (state,), (Batch(levels, y),), arguments_of([experiment]), np.array([0, 2], np.int32)
    return advance.trace(*call).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_training_is_plain(name, platform):
    """It calls nothing on the host, nothing for a CPU is in it, and products of the network are in bfloat16."""
    of = experiment(name)
    text = step(of, platform)
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"Sharding"} | RANDOM[platform]
    for construct in ("optimization_barrier", "inlineable", "callback"):
        assert construct not in text
    products = re.findall(r"stablehlo\.(convolution|dot_general).*: \((tensor<\S+>), (tensor<\S+>)\)", text)
    assert {kind for kind, *_ in products} == {"convolution", "dot_general"}
    # The gradient of attention's logits, which JAX computes in float32, meets keys and queries in bfloat16.
    assert not [each for each in products if not any("bf16" in operand for operand in each[1:])]
    assert not [each for each in products if each[0] == "convolution" and not all("bf16" in operand for operand in each[1:])]
