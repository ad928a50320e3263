"""Sampling and its data over devices and hosts: image i and example i are the same whatever the split."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import DIGITS, MOONS, TINY
from small_experiments import small_experiment
from source_files import ROOT

from experiments.build.build import build
from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer
from experiments.build.sampler import BoundSampler
from experiments.build.state import init_state
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import ExampleStream
from experiments.data.decoded import Decoded
from experiments.sampling.draw import drawing

pytestmark = pytest.mark.usefixtures("in_root")

NETWORK = "--config.net={'name': 'DDPM', 'width': 16, 'multipliers': (1, 2), 'blocks': 1, 'attention': ()}"
ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 3}}"
AS_FLOATS = "--config.data.levels=0", "--config.data.dequantize=False"  # nothing is rounded to a level


def drawn(batch: int, path: str = DIGITS) -> np.ndarray:
    """Thirty samples of a network as it is initialised, in batches of so many over the devices."""
    network = [NETWORK] if path == DIGITS else []
    tree = read_config(path, [*TINY, *network, ONE_SAMPLER, *AS_FLOATS, f"--config.evaluate.batch={batch}"])
    experiment: Experiment = build(Config.model_validate(tree), (8, 8, 1) if path == DIGITS else (2,))
    state = init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0))
    sampler = BoundSampler(experiment, experiment.config.samplers["ancestral"])
    return drawing(sampler)(state.ema, sampler.rows(0, 30), 3).levels


@pytest.fixture(scope="module")
def by_ours(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return drawn(4 * jax.device_count())


@pytest.mark.parametrize("path", [MOONS, pytest.param(DIGITS, marks=pytest.mark.slow)])
def test_images_do_not_depend_on_the_batch(path):
    """To rounding, with four images a device and with one, which is another program; and no two are alike."""
    count = jax.device_count()
    four = drawn(4 * count, path)
    np.testing.assert_allclose(drawn(count, path), four, atol=1e-5)
    assert len(np.unique(four.reshape(30, -1), axis=0)) == 30


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "each"), [(3, 4), (3, 5), (1, 4)])
def test_images_do_not_depend_on_the_devices(by_ours, devices, each, tmp_path):
    """To the bit where each of several has as many images at once, four; to rounding where XLA makes another program of it."""
    program = (
        "import sys, jax, numpy as np; jax.config.update('jax_num_cpu_devices', int(sys.argv[1])); "
        "from test_split import drawn; np.save(sys.argv[3], drawn(int(sys.argv[2])))"
    )
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}:{Path(__file__).parent}"}
    words = [str(devices), str(each * devices), tmp_path / "drawn.npy"]
    subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, env=env, check=True)
    found = np.load(tmp_path / "drawn.npy")
    np.testing.assert_allclose(found, by_ours, atol=0 if (devices, each) == (3, 4) else 1e-5, rtol=0)


class Watched:
    """Images [2, 2, 1] of their own number, and which of them were read."""

    def __init__(self, n: int):
        self.n, self.read = n, []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        self.read.append(i)
        return {"image": np.full((2, 2, 1), i, np.uint8)}


def test_a_host_reads_its_own_rows_alone():
    """Of a batch of 24 over four hosts six each; together they are the batch of one host, in its order."""
    parts, seen = [], []
    for process in range(4):
        source = Watched(200)
        records = ExampleStream(Decoded(source, 256, "watched"), seed=7, resident_mib=0)
        source.read.clear()  # what was looked at for the shape
        parts.append(records.batch(5, 24, process, 4).levels[:, 0, 0, 0])
        assert sorted(source.read) == sorted(parts[-1])
        seen.append(len(source.read))
    assert seen == [6] * 4
    whole = ExampleStream(Decoded(Watched(200), 256, "watched"), seed=7, resident_mib=0).batch(5, 24).levels[:, 0, 0, 0]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("n", [(), (2,), (2, 9)])
def test_a_sweep_of_any_number_of_steps_or_of_none(n):
    sweep = f"--config.samplers={{'a': {{'step': 'ddim', 'grid': 'log_snr_grid', 'n': 3, 'sweep': {{'n': {n}}}}}}}"
    experiment = small_experiment(sweep, "--config.sample.sampler=a")
    assert drawing(BoundSampler(experiment, experiment.config.samplers["a"]))
