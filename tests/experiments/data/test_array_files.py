"""Arrays in .npy files: what is written is read, a row at a time, and what is no such array is refused."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from source_files import ROOT

from experiments.config.schema import Data
from experiments.data import array_files
from experiments.data.array_files import npy
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runtime import limits
from experiments.runtime.errors import DataError

RNG = np.random.default_rng(0)


def config(folder, **others):
    return Data(name="npy", data_dir=str(folder), **{"levels": 0} | others)


def opened(folder, **others):
    return load(open_sources(config(folder, **others)), config(folder, **others), 0)


def written(folder, array, test=None, **labels):
    np.save(folder / "train.npy", array)
    np.save(folder / "test.npy", array[:3] if test is None else test)
    for name, values in labels.items():
        np.save(folder / f"{name.replace('_', '.')}.npy", values)


@pytest.mark.parametrize("shape", [(3,), (16, 2), (4, 6, 1), (2, 3, 4, 2), (2, 2, 2, 2, 2)])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2"])
@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_floats_of_any_shape_round_trip(tmp_path, shape, dtype, resident_mib):
    x = RNG.normal(size=(20, *shape)).astype(dtype)
    written(tmp_path, x)
    data = opened(tmp_path, resident_mib=resident_mib)
    assert data.shape == shape
    np.testing.assert_array_equal(data.test, x[:3])
    np.testing.assert_array_equal(data.train.read(np.arange(20)).levels, x)
    assert data.test.dtype == (np.float64 if dtype == "f8" else np.float32)


@pytest.mark.parametrize(
    ("shape", "event"), [((5, 4), (5, 4, 1)), ((5, 4, 3), (5, 4, 3)), ((3, 4, 5, 1), (3, 4, 5, 1)), ((7,), (7,))]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_integers_of_any_shape_are_grey_levels(tmp_path, shape, event, bits):
    """Integers of two axes are an image."""
    x = RNG.integers(0, 2**bits, (9, *shape)).astype(f"u{bits // 8}")
    written(tmp_path, x)
    data = opened(tmp_path, levels=256)
    assert data.shape == event
    np.testing.assert_array_equal(data.test.reshape(-1), np.round(x[:3] / (257 if bits == 16 else 1)).reshape(-1))


def test_labels_lie_beside_with_their_names(tmp_path):
    y = np.arange(20) % 3
    written(tmp_path, RNG.normal(size=(20, 2)), train_label=y[:, None], test_label=y[:3], classes=np.array(["a", "b", "c"]))
    data = opened(tmp_path, only=("b",))
    assert data.classes == ("a", "b", "c")
    np.testing.assert_array_equal(data.train_labels, np.ones(7))
    np.testing.assert_array_equal(opened(tmp_path).train_labels, y)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda f: written(f, RNG.integers(0, 9, (5, 4, 4)).astype(np.uint8)),
            r"train.npy: image must be floats \[N, ...\].* uint8",
        ),
        (
            lambda f: written(f, np.zeros(5)),
            r"must be floats \[N, ...\], as data.levels = 0 says, with N > 0, not float64 \(5,\)",
        ),
        (lambda f: written(f, np.zeros((0, 2))), "N > 0"),
        (lambda f: written(f, np.zeros((5, 2)), train_label=np.zeros(4)), r"labels of shape \(4,\) for 5 images"),
        (lambda f: written(f, np.asfortranarray(RNG.normal(size=(5, 2)))), "is in Fortran order, where a row lies all over"),
        (lambda f: written(f, np.array([[print]], object)), "train.npy cannot be mapped as .npy: .*objects"),
        (lambda f: (written(f, np.zeros((5, 2))), os.truncate(f / "train.npy", 160)), "train.npy cannot be mapped as .npy"),
        (lambda f: written(f, np.zeros((5, 2)), classes=np.arange(2)), r"classes must be strings \[C\]"),
        (lambda f: np.save(f / "tarin.npy", np.zeros((5, 2))), "no file .*train.npy; its folder holds tarin.npy"),
        (lambda f: (f / "train.npy").write_text("hello"), "train.npy cannot be mapped as .npy"),
    ],
    ids=["integers", "numbers", "empty", "labels", "fortran", "pickle", "cut", "names", "absent", "text"],
)
def test_what_is_no_such_array_is_refused(tmp_path, make, says):
    make(tmp_path)
    with pytest.raises(DataError, match=says) as error:
        opened(tmp_path)
    assert len(str(error.value).splitlines()) <= 5


def test_a_bad_row_is_named(tmp_path):
    x = RNG.normal(size=(20, 2))
    x[7, 1] = np.inf
    written(tmp_path, x)
    with pytest.raises(DataError, match=r"example 7 of npy train: a coordinate is not finite"):
        opened(tmp_path)


def test_rows_are_right_whatever_is_mapped_anew(tmp_path, monkeypatch):
    """Several threads read, each with rows of an earlier map in its hands, also when another file has the name."""
    monkeypatch.setattr(array_files, "MAPPED", 3 * array_files.PAGE)
    x = RNG.normal(size=(500, 4)).astype(np.float32)
    written(tmp_path, x)
    rows, _, _ = npy(config(tmp_path))
    first = rows[3]["image"]
    (tmp_path / "train.npy").rename(tmp_path / "moved.npy")
    np.save(tmp_path / "train.npy", -x)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: rows[i]["image"], list(range(500)) * 4))
    np.testing.assert_array_equal(np.stack(read), np.tile(x, (4, 1)))
    np.testing.assert_array_equal(first, x[3])


@pytest.mark.parametrize(
    ("resident_mib", "says"),
    [
        (0, "npy test, decoded, takes .* free: all held-out .* name a smaller split"),
        (1, "npy train.* free: a lower data"),
    ],
)
def test_what_does_not_fit_into_memory_is_refused_with_the_remedy(tmp_path, monkeypatch, resident_mib, says):
    written(tmp_path, RNG.normal(size=(50, 64)), RNG.normal(size=(50, 64)))
    monkeypatch.setattr(limits, "available", lambda: 1000)
    with pytest.raises(DataError, match=says):
        opened(tmp_path, resident_mib=resident_mib)


LARGE = """
import resource, sys
import numpy as np
from experiments.config.schema import Data
from experiments.data.dataset import load
from experiments.data.sources import open_sources
config = Data(name="npy", data_dir=sys.argv[1], levels=0, standardise="channel", resident_mib=64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = load(open_sources(config), config, 0)
for step in range(100):
    data.train.batch(step, 64)
print(data.moments.mean[0], before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_file_is_never_held_whole(tmp_path):
    """A gigabyte is opened, standardised and read at random in less than 400 MiB beside what the imports take."""
    shape = (64, 64, 4)
    train = np.lib.format.open_memmap(tmp_path / "train.npy", "w+", np.float32, (2**30 // (4 * 64 * 64 * 4), *shape))
    train[::2] = 1.0
    train[1::2] = 2.0
    del train
    np.save(tmp_path / "test.npy", RNG.normal(size=(8, *shape)).astype(np.float32))
    ran = subprocess.run([sys.executable, "-c", LARGE, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    mean, before, after = map(float, ran.stdout.split()[-3:])
    unit = 2**10 if sys.platform != "darwin" else 1
    assert mean == pytest.approx(1.5)
    assert (after - before) * unit < 400 * 2**20
