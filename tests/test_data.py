"""Sources, decoding, and the order of examples."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from experiments import toys
from experiments.data import load
from experiments.errors import DataError
from experiments.schema import Data
from experiments.sources import open_sources


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def read(seed=0, **config):
    data = Data(**config)
    return load(open_sources(data), data, seed)


def test_digits_are_scikit_learn_s(tfds_dir):
    """Train and test together are its images and labels, level by level, each once."""
    data = read(name="digits", data_dir=tfds_dir, levels=17)
    images = np.concatenate([data.train_examples(), data.test]).reshape(-1, 64)
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert data.test.shape == (500, 8, 8, 1)
    ours = sorted(map(bytes, np.column_stack([images, labels]).astype(np.uint8)))
    truth = load_digits()
    assert ours == sorted(map(bytes, np.column_stack([truth.data, truth.target]).astype(np.uint8)))


def test_streaming_is_resident(tfds_dir):
    """Decoded once or as asked for: the same batches."""
    resident, streaming = (read(name="digits", data_dir=tfds_dir, levels=17, resident_mib=mib) for mib in (64, 0))
    assert streaming.train.resident is None
    for step in (0, 7, 30):
        np.testing.assert_array_equal(resident.train.batch(step, 32), streaming.train.batch(step, 32))


def test_an_epoch_visits_every_example_once_and_epochs_differ():
    data = read(name="two_moons", levels=0)
    n = len(data.train)
    first, second = (np.concatenate([data.train.batch(e * n // 100 + i, 100) for i in range(n // 100)]) for e in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(data.train_examples(10**6), axis=0))
    np.testing.assert_array_equal(np.sort(second, axis=0), np.sort(first, axis=0))


def test_processes_share_a_batch():
    """The shares of four processes, in order, are the batch of one; another seed gives another."""
    data = read(name="swiss_roll", levels=0)
    shares = [data.train.batch(5, 32, process, 4) for process in range(4)]
    np.testing.assert_array_equal(np.concatenate(shares), data.train.batch(5, 32))
    assert not np.array_equal(read(seed=1, name="swiss_roll", levels=0).train.batch(5, 32), data.train.batch(5, 32))


def test_mixture_density_is_normalised_and_its_samples_have_it():
    """int p = 1 on a grid; the mean log-density of samples is that of the grid, -entropy."""
    side = np.linspace(-1.8, 1.8, 361)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    log_p = toys.log_prob(grid)
    assert np.exp(log_p).sum() * 0.01**2 == pytest.approx(1.0, abs=1e-3)
    negative_entropy = (np.exp(log_p) * log_p).sum() * 0.01**2
    assert toys.log_prob(toys.gaussian_mixture(20_000, 0)).mean() == pytest.approx(negative_entropy, abs=0.03)


def picture(value, mode="L", size=(4, 4)):
    return Image.new(mode, size, value)


def folder(tmp_path: Path, **images) -> Path:
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
    return tmp_path


def test_modes_become_grey_or_rgb(tmp_path):
    """16 bits are scaled, not clipped; alpha and palette are converted."""
    wide = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    data = read(name="folder", data_dir=str(folder(tmp_path, a=picture(7), b=wide, c=picture((9, 255), "LA"))))
    values = {int(x) for x in np.concatenate([data.train_examples(), data.test])[:, 0, 0, 0]}
    assert values == {7, 128, 9}


def test_photographs_are_turned_upright(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned a quarter
    for name in "ab":
        image.save(tmp_path / f"{name}.png", exif=exif)
    assert read(name="folder", data_dir=str(tmp_path)).shape == (2, 1, 1)


def test_bad_files_are_named(tmp_path):
    good = folder(tmp_path, **{f"img{i}": picture(i) for i in range(12)})
    (good / "img3.png").write_bytes((good / "img3.png").read_bytes()[:40])
    (good / "img5.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)2 of .*img3.png.*img5.png"):
        read(name="folder", data_dir=str(good))


def test_unlike_shapes_are_named(tmp_path):
    folder(tmp_path, a=picture(1), b=picture(1), c=picture(1, size=(4, 6)))
    with pytest.raises(DataError, match=r"shape \(6, 4, 1\), the first \(4, 4, 1\)"):
        read(name="folder", data_dir=str(tmp_path))


def test_npz(tmp_path):
    image = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    for stem in ("a", "b"):
        np.savez(tmp_path / f"{stem}.npz", image=image, label=np.array([3, 1]))
    data = read(name="npz", data_dir=str(tmp_path), train="a", test="b")
    np.testing.assert_array_equal(data.test[..., 0], image)
    np.testing.assert_array_equal(data.train_labels, [3, 1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"picture": np.zeros((1, 2, 2), np.uint8)}, "no array `image`; it holds picture"),
        ({"image": np.zeros((1, 2, 2))}, "must be uint8"),
        ({"image": np.zeros((2, 2, 2), np.uint8), "label": np.zeros(3)}, "3 labels for 2 images"),
        ({"image": np.array([{"a": 1}], object)}, "cannot be read"),
    ],
)
def test_bad_npz_says_what_and_where(tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=says):
        read(name="npz", data_dir=str(tmp_path), train="a", test="a")


def test_a_missing_dataset_is_answered_offline(tmp_path):
    """The folder looked in, the nearest name, and the command that prepares it."""
    with pytest.raises(DataError, match=r"(?s)cifra10.*did you mean cifar10.*tfds build"):
        read(name="cifra10", data_dir=str(tmp_path))


def test_a_prepared_tfds_dataset_is_read_by_its_name(tfds_dir):
    """The digits as any other TFDS dataset, by name and version."""
    read(name="digits", data_dir=tfds_dir, levels=17)
    data = read(name="digits/1.0.0", data_dir=tfds_dir, levels=17)
    assert data.digest == read(name="digits", data_dir=tfds_dir, levels=17).digest
    with pytest.raises(DataError, match="has the splits"):
        read(name="digits/1.0.0", data_dir=tfds_dir, test="validation")
