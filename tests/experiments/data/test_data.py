"""Data against what was written: sources round trip, the order of batches, and what damaged files are called."""

import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from spawned import digits_size

from experiments.config.schema import Data
from experiments.data import toys
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runtime.errors import DataError


def config(name, data_dir="", **others):
    return Data(name=name, data_dir=str(data_dir), **others)


def opened(name, data_dir="", seed=0, **others):
    """The data set of that config."""
    settings = config(name, data_dir, **others)
    return load(open_sources(settings), settings, seed)


def as_multiset(rows):
    """The same array for the same rows in any order."""
    flat = np.asarray(rows).reshape(len(rows), -1)
    return flat[np.lexsort(flat.T)]


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    """A data_dir that digits are written to, by two processes at once."""
    folder = tmp_path_factory.mktemp("tfds")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        sizes = list(pool.map(digits_size, [folder] * 2))
    assert sizes == [1297, 1297]
    return folder


@pytest.fixture
def numbered(tmp_path):
    """A folder of 23 grey 2x2 images, each of the one value that is its number, in two classes."""
    for i in range(23):
        folder = tmp_path / ("even", "odd")[i % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((2, 2), i, np.uint8)).save(folder / f"{i:02}.png")
    return tmp_path


@pytest.mark.slow
def test_digits_are_those_of_scikit_learn(digits_dir):
    """All 1,797 and their labels, at their own 17 levels, once each: so training and held-out ones are disjoint."""
    data = opened("digits", digits_dir, levels=17)
    assert (data.shape, len(data.train), len(data.test)) == ((8, 8, 1), 1297, 500)
    assert data.classes == tuple("0123456789")
    images = np.concatenate([data.train_examples(), data.test]).reshape(-1, 64)
    labels = np.concatenate([data.train_labels, data.test_labels])
    truth = load_digits()
    expected = np.column_stack([truth.data.astype(int), truth.target])
    np.testing.assert_array_equal(as_multiset(np.column_stack([images.astype(int), labels])), as_multiset(expected))


@pytest.mark.slow
def test_digest_tells_data_apart(digits_dir):
    digests = [opened("digits", digits_dir, levels=levels).digest for levels in (17, 17, 16)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("process", [0, 1])
def test_streamed_batches_are_the_resident_ones(numbered, process):
    resident, streamed = (opened("folder", numbered, seed=5, resident_mib=mib).train for mib in (1, 0))
    assert streamed.resident is None
    for step in range(8):
        np.testing.assert_array_equal(resident.batch(step, 8, process, 2).levels, streamed.batch(step, 8, process, 2).levels)


def test_every_epoch_has_every_example_once_in_a_new_order(numbered):
    records = opened("folder", numbered).train
    n = len(records)
    epochs = [records.batch(epoch, n).levels[:, 0, 0, 0] for epoch in range(3)]
    everything = [i for i in range(23) if i not in held_out_numbers()]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    crossing = np.concatenate([records.batch(step, 8).levels for step in range(6)])[:, 0, 0, 0]
    np.testing.assert_array_equal(crossing, np.concatenate(epochs)[:48])


def held_out_numbers():
    """Every tenth of the sorted paths even/00 ... even/22, odd/01 ... odd/21."""
    return [*range(0, 23, 2), *range(1, 23, 2)][::10]


def test_batches_are_a_function_of_seed_and_step(numbered):
    first, again, other = (opened("folder", numbered, seed=seed).train.batch(7, 8).levels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_processes_share_a_batch_in_order(numbered):
    records = opened("folder", numbered).train
    slices = [records.batch(3, 12, process, 4).levels for process in range(4)]
    np.testing.assert_array_equal(np.concatenate(slices), records.batch(3, 12).levels)
    np.testing.assert_array_equal(records.resident[records.indices(3, 12)], records.batch(3, 12).levels)


def test_folder_holds_out_every_tenth_and_labels_by_subfolder(numbered):
    data = opened("folder", numbered)
    assert data.test[:, 0, 0, 0].tolist() == held_out_numbers()
    np.testing.assert_array_equal(data.train_labels, data.train_examples()[:, 0, 0, 0] % 2)
    np.testing.assert_array_equal(data.test_labels, data.test[:, 0, 0, 0] % 2)


def test_folder_with_its_own_splits(numbered):
    (numbered / "odd").rename(numbered / "test")
    data = opened("folder", numbered, train="even")
    assert (len(data.train), len(data.test), data.train_labels) == (12, 11, None)


RAMP = np.arange(0, 256, 17, dtype=np.uint8).reshape(4, 4)
RED = np.stack([RAMP, 0 * RAMP, 255 - RAMP], axis=-1)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Image.fromarray(RAMP), RAMP[..., None]),
        (Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP[..., None]),
        (Image.merge("LA", [Image.fromarray(RAMP), Image.new("L", (4, 4), 7)]), RAMP[..., None]),
        (Image.fromarray(RAMP > 100), np.where(RAMP > 100, 255, 0)[..., None]),
        (Image.fromarray(RED), RED),
        (Image.fromarray(np.dstack([RED, RAMP])), RED),
        (Image.fromarray(RED).quantize(16, dither=Image.Dither.NONE), RED),
    ],
    ids=["grey", "16 bit", "grey alpha", "1 bit", "rgb", "alpha", "palette"],
)
def test_every_kind_of_png_is_read_as_it_looks(tmp_path, made, expected):
    for i in range(2):
        made.save(tmp_path / f"{i}.png")
    data = opened("folder", tmp_path)
    np.testing.assert_array_equal(data.test[0], expected)
    np.testing.assert_array_equal(data.train.resident[0], expected)


def test_cmyk_becomes_rgb_and_a_rotated_photograph_is_turned(tmp_path):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees
    for i in range(2):
        Image.fromarray(wide).convert("CMYK").save(tmp_path / f"{i}.jpg", quality=95, exif=exif)
    seen = opened("folder", tmp_path).test[0].astype(int)
    assert seen.shape == (16, 8, 3)
    assert abs(seen - np.rot90(wide, -1)).max() < 8


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "truncated"),
        (lambda path: path.write_bytes(b""), "cannot identify"),
        (lambda path: path.write_text("hello"), "cannot identify"),
        (lambda path: Image.new("L", (3, 2)).save(path), r"\(2, 3, 1\), the others' \(2, 2, 1\)"),
        (lambda path: Image.new("F", (2, 2)).save(path, format="TIFF"), "32-bit"),
    ],
    ids=["truncated", "empty", "text", "shape", "float"],
)
@pytest.mark.parametrize("resident_mib", [1, 0], ids=["resident", "streamed"])
@pytest.mark.parametrize("file", ["even/04.png", "even/00.png"], ids=["training", "held out"])
def test_a_bad_file_is_named(numbered, damage, words, resident_mib, file):
    damage(numbered / file)
    with pytest.raises(DataError, match=rf"{file}: .*{words}"):
        opened("folder", numbered, resident_mib=resident_mib).train.batch(0, 20)


def test_a_folder_of_bad_files_is_summed_up(numbered):
    for path in numbered.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        opened("folder", numbered)
    assert len(str(caught.value).splitlines()) <= 5


def test_decompression_bombs_stay_closed(numbered, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    with pytest.raises(DataError, match="MAX_IMAGE_PIXELS"), pytest.warns(Image.DecompressionBombWarning):
        opened("folder", numbered)


def test_an_empty_or_absent_folder(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        opened("folder", tmp_path)
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        opened("folder", tmp_path / "nowhere")
    Image.new("L", (2, 2)).save(tmp_path / "only.png")
    with pytest.raises(DataError, match="folder train holds no example"):
        opened("folder", tmp_path)


@pytest.mark.parametrize("name", ["digits", "folder", "npz", "mnist"])
@pytest.mark.parametrize("place", ["a\0b", "x" * 5000, "x/" * 2500, "loop/x", "file", "/dev/null"], ids=ascii)
def test_a_folder_that_is_none_is_refused(tmp_path, monkeypatch, name, place):
    """Whatever the system says of it, which raises for some and denies others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError) as caught:
        open_sources(config(name, place))
    assert "--config.data.data_dir" in str(caught.value) or name == "mnist"
    assert len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_npz_round_trip(tmp_path, resident_mib):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 6, 3), np.uint8)
    np.savez(tmp_path / "a.npz", image=images, label=np.arange(30) % 7)
    np.savez(tmp_path / "b.npz", image=images[:5])
    data = opened("npz", tmp_path, train="a", test="b", resident_mib=resident_mib)
    np.testing.assert_array_equal(data.test, images[:5])
    np.testing.assert_array_equal(as_multiset(data.train.batch(0, 30).levels), as_multiset(images))
    assert data.test_labels is None
    if resident_mib:
        np.testing.assert_array_equal(data.train_labels, np.arange(30) % 7)


def test_an_npz_of_16_bits_is_read_to_the_nearest_of_8(tmp_path, monkeypatch):
    v = np.arange(65536, dtype=np.uint16).reshape(16, 64, 64)
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", image=v)
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(opened("npz", "~").test[..., 0], (v.astype(int) + 128) // 257)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((3, 2, 2), np.uint8)}, "no array `image`; it holds images"),
        ({"image": np.zeros((3, 2, 2))}, r"float64 \(3, 2, 2\)"),
        ({"image": np.zeros(3, np.uint8)}, r"uint8 \(3,\)"),
        ({"image": np.zeros((0, 2, 2), np.uint8)}, "N > 0"),
        ({"image": np.zeros((3, 2, 2), np.uint8), "label": np.zeros(2, int)}, r"labels of shape \(2,\) for 3 images"),
        ({"image": np.array([print] * 3, object)}, "cannot be read"),
        ({"image": np.zeros((3, 2, 2), np.uint8), "classes": np.arange(2)}, r"classes must be strings \[C\], not int64 \(2,\)"),
    ],
    ids=["key", "dtype", "rank", "empty", "labels", "pickle", "names"],
)
def test_npz_says_what_is_wrong(tmp_path, arrays, words):
    np.savez(tmp_path / "train.npz", **arrays)
    with pytest.raises(DataError, match=words):
        opened("npz", tmp_path)


def test_npz_of_points_and_of_names(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    names = {"label": np.arange(30) % 2, "classes": np.array(["cat", "dog"])}
    np.savez(tmp_path / "train.npz", image=points, **names)
    np.savez(tmp_path / "test.npz", image=points[:5])
    data = opened("npz", tmp_path, levels=0)
    np.testing.assert_array_equal(data.test, points[:5])
    assert data.classes == ("cat", "dog")
    np.testing.assert_array_equal(opened("npz", tmp_path, levels=0, test="train", only=("dog",)).test, points[1::2])
    with pytest.raises(DataError, match=r"data.only: there is no class 'dgo' \(did you mean dog\?\)"):
        opened("npz", tmp_path, levels=0, test="train", only=("dgo",))
    np.savez(tmp_path / "test.npz", image=points, **names | {"classes": np.array(["dog", "cat"])})
    with pytest.raises(DataError, match=r"has the classes 0 is cat, 1 is dog, and data\.test 0 is dog, 1 is cat"):
        opened("npz", tmp_path, levels=0)
    with pytest.raises(DataError, match=r"image must be uint8 .*, not float32"):
        opened("npz", tmp_path)


def test_labels_in_a_column_are_labels(tmp_path):
    """Keras stores those of CIFAR-10 so."""
    images, y = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8), np.arange(30) % 3
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", image=images, label=y[:, None])
    np.testing.assert_array_equal(opened("npz", tmp_path).train_labels, y)
    np.testing.assert_array_equal(opened("npz", tmp_path, only=(2,)).test[..., 0], images[y == 2])


@pytest.mark.parametrize("dtype", [">f4", ">f8", "f2", "f4", "f8", "longdouble"])
def test_points_of_any_floats_are_those_that_jax_has(tmp_path, dtype):
    points = np.random.default_rng(0).normal(size=(30, 2)).astype(dtype)
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", image=points)
    data = opened("npz", tmp_path, levels=0)
    assert data.test.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(data.test.astype(np.float32), points.astype(np.float32))
    if points.dtype.itemsize > 4:
        points[29, 1] = 1e300
        np.savez(tmp_path / "train.npz", image=points)
        with pytest.raises(DataError, match=r"example 29 .*not finite, as float32"):
            opened("npz", tmp_path, levels=0)


def test_npz_that_is_absent_or_none(tmp_path):
    np.savez(tmp_path / "mnist_train.npz", image=np.zeros((3, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"folder holds mnist_train\.npz"):
        opened("npz", tmp_path)
    (tmp_path / "train.npz").write_text("hello")
    with pytest.raises(DataError, match="cannot be read"):
        opened("npz", tmp_path)


def test_images_and_points_are_not_confused(numbered):
    with pytest.raises(DataError, match="an image has 256"):
        opened("folder", numbered, levels=0)
    with pytest.raises(DataError, match=r"floats have data\.levels = 0"):
        opened("two_moons")


@pytest.mark.parametrize(("name", "words"), [("cifar10", "no prepared"), ("cifra10", r"did you mean cifar10\?")])
def test_an_unprepared_tfds_set_is_reported_at_once(tmp_path, name, words):
    start = time.monotonic()
    with pytest.raises(DataError, match=words) as caught:
        opened(name, tmp_path)
    assert time.monotonic() - start < 5
    assert str(tmp_path) in str(caught.value)
    assert f"tfds build cifar10 --data_dir={tmp_path} --file_format=array_record" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["my-pkg.my_module:source", "my_pkg/my_module.py:source", "my_module.source", "source()", "digit"]
)
def test_what_is_no_dataset_of_tfds_is_not_to_be_built_by_it(tmp_path, name):
    with pytest.raises(DataError, match="written my_pkg") as caught:
        opened(name, tmp_path)
    assert "tfds build" not in str(caught.value)


@pytest.mark.slow
def test_a_tfds_set_is_read_by_name_and_version(digits_dir):
    """The digits, as any other set on disk."""
    by_version, by_name = (opened(name, digits_dir, levels=17) for name in ("digits:1.0.0", "digits"))
    assert by_version.digest == by_name.digest
    with pytest.raises(DataError, match="has the splits"):
        opened("digits:1.0.0", digits_dir, test="validation")


def test_a_prepared_tfds_set_is_read_by_name_and_split(tmp_path):
    """Somebody else's builder: only its files are known."""
    import tensorflow_datasets as tfds

    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)

    class TinyShades(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("2.1.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"image": tfds.features.Image()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"whole": ((i, {"image": Image.fromarray(image)}) for i, image in enumerate(images))}

        def _generate_examples(self):
            raise NotImplementedError

    TinyShades(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    data = opened("tiny_shades", tmp_path, train="whole[:75%]", test="whole[75%:]")
    assert (len(data.train), len(data.test)) == (15, 5)
    np.testing.assert_array_equal(as_multiset(np.concatenate([data.train_examples(), data.test])), as_multiset(images))
    with pytest.raises(DataError, match="has the splits whole"):
        opened("tiny_shades", tmp_path)
    shutil.rmtree(tmp_path / "tiny_shades" / "2.1.0")
    with pytest.raises(DataError, match="no prepared dataset"):
        opened("tiny_shades", tmp_path)


@pytest.mark.parametrize("name", toys.TOYS)
def test_toys_are_float32_points_of_about_unit_scale(name):
    data, again = (opened(name, levels=0) for _ in range(2))
    assert (data.shape, data.test.dtype, len(data.train), len(data.test)) == ((2,), np.float32, 20_000, 2_000)
    assert 0.3 < data.test.std() < 1
    assert np.abs(data.train_examples()).max() < 2
    assert np.abs(data.train_examples().mean(0) - data.test.mean(0)).max() < 0.06
    assert data.digest == again.digest
    assert not set(map(tuple, data.test.tolist())) & set(map(tuple, data.train_examples().tolist()))


def test_gaussian_mixture_has_the_density_of_its_samples():
    """Its integral is 1 and its entropy is the mean of -log p over samples, within four standard errors."""
    line = np.linspace(-2, 2, 401)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    log_p = toys.log_prob(grid)
    cells = np.exp(log_p) * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(cells.sum(), 1, atol=1e-6)
    seen = toys.log_prob(toys.gaussian_mixture(20_000, 0))
    assert abs(seen.mean() - (cells * log_p).sum()) < 4 * seen.std() / np.sqrt(len(seen))


def test_checkerboard_stays_on_its_dark_squares():
    points = toys.checkerboard(5_000, 0)
    squares = np.floor(2 * (points + 1)).astype(int)
    assert set(map(tuple, squares.tolist())) == {(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0}
