"""Devices that hold a run in shares, by train.shard, compute the run that each of them would hold whole."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, MOONS, TINY, drawn
from source_files import ROOT

from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.state import State, init_state, placement
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.runtime.compile_cache import IN_ORDER
from experiments.training.step import make_step

pytestmark = pytest.mark.usefixtures("in_root")

SHARD = "--config.train.shard=True"
ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
WIDE = ["--config.net.width=64", ONE_SAMPLER, "--config.train.sample_every=8"]


def seal(workdir, step):
    """The digest of every array."""
    return json.loads((workdir / "checkpoints" / str(step) / "seal" / "metadata").read_text())["leaves"]


def picture(workdir, name):
    return np.asarray(Image.open(workdir / "samples" / name))


def made(path, shape, *overrides):
    return build(Config.model_validate(read_config(path, [*TINY, *overrides])), shape)


def trained(experiment, steps=3) -> State:
    """The state after some steps on images of noise."""
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    advance = devices.pmapped(make_step(experiment, optimizer, stream(0, Purpose.STEP)), placement(experiment.config, state))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        state = advance(state, devices.split(Batch(rng.integers(0, 17, (1, 64, *experiment.shape)).astype(np.uint8)), axis=1))
    return state


def check_shares(state: State) -> None:
    """Each device has its share of each large array, and the whole of each small one."""
    count = jax.device_count()
    for leaf in jax.tree.leaves((state.params, state.ema, state.opt)):
        divided = leaf.size >= devices.SMALL and any(n % count == 0 for n in leaf.shape)
        share = leaf.nbytes // count if divided else leaf.nbytes
        assert [part.data.nbytes for part in leaf.addressable_shards] == [share] * count


def test_each_device_holds_its_share():
    """Each array is split along the largest axis that the number of devices divides."""
    experiment = made(MOONS, (2,), SHARD, "--config.net.width=64")
    state = init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0))
    check_shares(state)
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    assert held < 0.6 * total
    shapes = {"wide": (40, 128), "odd": (4096, 3), "prime": (4099, 5), "small": (64, 32), "point": ()}
    found = devices.sharded({name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()})
    assert {name: tuple(sharding.spec) for name, sharding in found.items()} == {
        **{"wide": (None, "data"), "odd": ("data",), "prime": (), "small": (), "point": ()},
    }


def eight(command, workdir, steps, *more):
    """Runs the command on eight devices, compiled as a user's is: the suite's cheap programs round otherwise in shares."""
    argv = [sys.executable, "-m", "experiments", command, f"--config={MOONS}", f"--workdir={workdir}"]
    argv += [*TINY, *WIDE, f"--config.train.steps={steps}", *more]
    subprocess.run(argv, cwd=ROOT, check=True, env=os.environ | {"XLA_FLAGS": "", "JAX_NUM_CPU_DEVICES": "8"})


@pytest.mark.slow
def test_a_run_in_shares_is_the_run_whole_bit_by_bit(tmp_path):
    """Parameters, average, moments and pictures; also of what was saved in shares and goes on whole, and vice versa."""
    shares, forked, whole = (tmp_path / name for name in ("shares", "forked", "whole"))
    eight("train", shares, 4, SHARD)
    eight("train", shares, 8, f"--fork={forked}")
    eight("train", shares, 8, SHARD)
    eight("train", whole, 8)
    eight("sample", whole, 8, SHARD)
    assert seal(shares, 8) == seal(forked, 8) == seal(whole, 8)
    at_the_end = [picture(folder, "step_0000008.png") for folder in (shares, forked, whole)]
    for other in (*at_the_end, picture(whole, drawn(whole / "samples", "ancestral_seed0").name)):
        np.testing.assert_array_equal(other, at_the_end[0])


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--config.remat=True",), ("--config.compute=bfloat16",), ("--config.times=loss_aware",)])
def test_a_convolutional_network_in_shares(more):
    """It holds with dropout, recomputed or not, in either type, and with a draw of t that learns.

    Without the suite's scheduler, by which some sums of the two programs differ in their order, and so in two ulp.
    """
    places = [ROOT, ROOT / "tests", ROOT / "tests" / "support", Path(__file__).parent]
    own = {
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace(IN_ORDER, ""),
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # what is read from the cache may hang by XLA's own scheduler
        "PYTHONPATH": os.pathsep.join(map(str, places)),
    }
    code = f"import conftest, test_shard; test_shard.check_in_shares({more!r})"
    child = subprocess.run([sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


def check_in_shares(more):
    """The state after three steps is the same to the bit, held in shares or whole."""
    net = "--config.net={'name': 'DDPM', 'width': 32, 'multipliers': (1, 2), 'blocks': 1, 'attention': (4,), 'dropout': 0.1}"
    states = [trained(made(DIGITS, (8, 8, 1), net, *more, f"--config.train.shard={shard}")) for shard in (False, True)]
    check_shares(states[1])
    jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, states))


@pytest.mark.slow
def test_what_a_step_sends_is_what_docs_scale_counts():
    """An all-reduce of every gradient, and in shares an all-gather of every array that is one: by the text of the program."""
    for shard in (False, True):
        experiment = made(MOONS, (2,), "--config.net.width=64", f"--config.train.shard={shard}")
        optimizer = make_optimizer(experiment.config.train)
        state = init_state(experiment, optimizer, jax.random.key(0))
        step = make_step(experiment, optimizer, jax.random.key(0))
        x = devices.split(Batch(np.zeros((1, 64, 2), np.float32)), axis=1)
        text = devices.pmapped(step, placement(experiment.config, state)).lower(state, x).compile().as_text()
        sizes = [(leaf.nbytes, leaf.addressable_shards[0].data.nbytes) for leaf in jax.tree.leaves(state.params)]
        gradients, shares = sum(size for size, _ in sizes), sum(size for size, held in sizes if held < size)
        assert gradients <= sent(text, "all-reduce") <= gradients + 64  # with the loss
        assert sent(text, "all-gather") == shares
        assert bool(shares) == shard
        assert not sent(text, "all-to-all") + sent(text, "collective-permute") + sent(text, "reduce-scatter")


def sent(text: str, operation: str) -> int:
    """The bytes of float32 that all such operations of a program result in."""
    results = re.findall(rf"^ .*? = (.*?) {operation}(?:-start)?\(", text, re.MULTILINE)
    shapes = [dims for result in results for dims in re.findall(r"f32\[([\d,]*)\]", result)]
    return sum(4 * math.prod(int(n) for n in dims.split(",") if n) for dims in shapes)
