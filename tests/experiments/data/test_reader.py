"""Images of unequal sizes as training and evaluation get them: one size, cut where and when they should be."""

import numpy as np
import pytest
from PIL import Image

from experiments.config.schema import Data
from experiments.data import examples
from experiments.data.dataset import load
from experiments.data.framing import Frame
from experiments.data.image_file import read_pixels, to_8_bits
from experiments.data.reader import Reader
from experiments.data.sources import Sources, open_sources
from experiments.runtime.errors import DataError

N = 20


@pytest.fixture
def images(tmp_path):
    """A folder of 20 grey images of unequal sizes, each wider than 6 x 6 by 5 pixels once it is 6 high; 00 and 10 are held out.

    Column c of image i is 20 c + i, so that a crop says where it is from.
    """
    for i in range(N):
        Image.fromarray(np.tile(20 * np.arange(11, dtype=np.uint8) + i, (6, 1))).save(tmp_path / f"{i:02}.png")
    return tmp_path


def opened(folder, seed=0, name="folder", **others):
    settings = Data(name=name, data_dir=str(folder), **({"size": 6} | others))
    return load(open_sources(settings), settings, seed)


def starts(levels):
    """The columns that crops begin at."""
    return levels[:, 0, 0, 0].astype(int) // 20


def save(pixels, path, **options):
    Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[..., 0]).save(path, **options)


# Sizes


@pytest.mark.parametrize("crop", ["centre", "none"])
@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_images_of_any_size_get_one(tmp_path, crop, resident_mib):
    """Each is what the frame makes of its pixels, in its place, with H and W in this order."""
    rng = np.random.default_rng(0)
    for i in range(N):
        save(rng.integers(0, 256, (*rng.integers(3, 40, 2), 3), np.uint8), tmp_path / f"{i:02}.png")
    data, frame = opened(tmp_path, size=(8, 6), crop=crop, resident_mib=resident_mib), Frame(8, 6, crop)
    expected = [frame.cut(frame.cover(read_pixels(path))) for path in sorted(tmp_path.glob("*.png"))]
    assert data.shape == (8, 6, 3)
    np.testing.assert_array_equal(data.test, [expected[0], expected[10]])
    rows = data.train.indices(0, N - 2)
    np.testing.assert_array_equal(data.train.batch(0, N - 2).levels, np.array(expected[1:10] + expected[11:])[rows])


def test_without_a_size_images_must_have_one_and_the_remedy_is_named(images):
    save(np.zeros((7, 11, 1), np.uint8), images / "05.png")
    with pytest.raises(DataError, match=r"05\.png: its shape is \(7, 11, 1\), the others' \(6, 11, 1\): .*as data.size does"):
        opened(images, size=None)


def test_the_size_is_of_the_upright_image(tmp_path):
    """EXIF's turn comes first: a tall photograph, stored on its side, is cut at its top and its bottom."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.random.default_rng(0).integers(0, 256, (8, 16, 1), np.uint8)
    for i in range(2):
        save(stored, tmp_path / f"{i}.png", exif=exif)
    upright = np.rot90(stored, -1)
    np.testing.assert_array_equal(opened(tmp_path, size=8).test[0], upright[4:12])


def test_sixteen_bits_are_scaled_before_the_size(tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (8, 8), np.uint16)
    for i in range(2):
        Image.fromarray(deep).save(tmp_path / f"{i}.png")
    expected = to_8_bits(deep).reshape(4, 2, 4, 2).mean((1, 3))
    assert abs(opened(tmp_path, size=4).test[0, ..., 0] - expected).max() <= 0.5


def test_few_levels_are_counted_after_the_size():
    """The mean of 0 and 255 is the middle level of three, and no level is a mean of levels."""
    image = np.array([[0, 255], [255, 0]], np.uint8)[..., None]
    event, _ = Reader([{"image": image}], 3, "x", Frame(1, 1)).event(0)
    assert event.ravel() == [1]


def test_grey_and_colour_are_told_apart(images):
    save(np.zeros((9, 9, 3), np.uint8), images / "05.png")
    with pytest.raises(DataError, match=r"05\.png: its shape is \(6, 6, 3\), .* convert them to one number of channels"):
        opened(images)


@pytest.mark.parametrize("crop", ["centre", "random", "none"])
def test_arrays_of_any_source_get_the_size(crop):
    """Unequal ones of a user's own source, of 16 bits too; and of a file of ours."""
    rng = np.random.default_rng(0)
    of = lambda dtype: [{"image": rng.integers(0, 256, (*rng.integers(5, 9, 2), 2), dtype)} for _ in range(8)]
    settings = Data(name="theirs", size=(4, 3), crop=crop)
    for dtype in (np.uint8, np.uint16):
        assert load(Sources(of(dtype), of(dtype)), settings, 0).train.batch(0, 8).levels.shape == (8, 4, 3, 2)


@pytest.mark.parametrize("name", ["npy", "npz"])
def test_arrays_in_files_get_the_size(tmp_path, name):
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 12), np.uint8)
    for split in ("train", "test"):
        np.save(tmp_path / f"{split}.npy", x) if name == "npy" else np.savez(tmp_path / f"{split}.npz", image=x)
    expected = x.reshape(5, 4, 2, 6, 2).mean((2, 4))
    assert abs(opened(tmp_path, name=name, size=(4, 6)).test[..., 0] - expected).max() <= 0.5


@pytest.mark.parametrize("shape", [(5,), (4, 4, 4, 1)])
def test_arrays_that_are_no_images_are_refused(shape):
    vectors = [{"image": np.zeros(shape, np.uint8)}] * 4
    with pytest.raises(DataError, match=r"no example of x train can be used:\n.*data\.size is for images \[H, W, C\]: leave"):
        load(Sources(vectors, vectors), Data(name="x", size=4), 0)


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_that_images_are_enlarged_is_said_once_and_how_many(images, resident_mib, capsys):
    for i in (3, 4, 10):
        save(np.zeros((4, 30, 1), np.uint8), images / f"{i:02}.png")
    data = opened(images, resident_mib=resident_mib, crop="random" if resident_mib else "centre")
    for step in range(6):
        data.train.batch(step, N - 2)
    said = capsys.readouterr().out
    assert said.count("folder test: 1 of 2 images are smaller than 6 x 6, and enlarged") == 1
    assert said.count("folder train: ") == 1
    few = said.partition("folder train: ")[2].split()
    assert int(few[0]) == 2 or few[2] == "2"  # of a part that was read first there may be one


# Random crops

RANDOM = {"crop": "random"}


@pytest.mark.parametrize("others", [RANDOM, RANDOM | {"resident_mib": 0}, RANDOM | {"on_bad": "skip"}])
def test_a_step_is_the_same_for_whoever_asks(images, others):
    """Two runs, one that resumes, one of two processes, and one that keeps all in memory, some, or nothing."""
    if "on_bad" in others:
        (images / "05.png").write_bytes(b"")
    first, again, kept = (opened(images, **each).train for each in (others, others, others | {"resident_mib": 1}))
    batches = [first.batch(step, 8).levels for step in range(9)]
    for step in (8, 2, 5):
        np.testing.assert_array_equal(again.batch(step, 8).levels, batches[step])
        np.testing.assert_array_equal(kept.batch(step, 8).levels, batches[step])
        parts = [again.batch(step, 8, process, 2).levels for process in range(2)]
        np.testing.assert_array_equal(np.concatenate(parts), batches[step])
    other = opened(images, seed=1, **others).train
    assert any((starts(other.batch(step, 8).levels) != starts(batches[step])).any() for step in range(9))


def test_every_place_is_as_likely_and_every_epoch_draws_anew(images):
    """Of 5 pixels too many there are 6 places: by chi-square with 5 degrees of freedom, over all and for one image."""
    stream, epochs = opened(images, crop="random").train, 120
    n = N - 2
    found = np.empty((epochs, n), int)
    for epoch in range(epochs):
        found[epoch, stream.indices(epoch, n)] = starts(stream.batch(epoch, n).levels)
    for places in (found.ravel(), found[:, 7]):
        counts = np.bincount(places, minlength=6)
        assert len(counts) == 6
        assert ((counts - places.size / 6) ** 2 / (places.size / 6)).sum() < 20.5  # one in a thousand is above
    assert (found[1:] != found[:-1]).any(axis=1).all()


def test_all_but_batches_see_the_middle(images):
    """Held-out examples, the real ones that samples are held against, those that features are fitted to, and the hash."""
    random, centre = (opened(images, crop=crop) for crop in ("random", "centre"))
    for seed in (0, 1):
        np.testing.assert_array_equal(random.by(seed).test, centre.test)
    np.testing.assert_array_equal(random.train_examples(), centre.train_examples())
    np.testing.assert_array_equal(random.some_training(9).levels, centre.some_training(9).levels)
    assert (starts(centre.train_examples()) == 2).all()
    assert random.part == centre.part
    assert len({tuple(starts(random.train.batch(step, N - 2).levels)) for step in range(3)}) == 3


def test_all_training_examples_are_refused_where_they_do_not_fit(images):
    with pytest.raises(DataError, match=r"needs all training examples at once: set --config\.data\.resident_mib=1$"):
        opened(images, crop="random", resident_mib=0).train_examples()


@pytest.mark.parametrize(("resident_mib", "each"), [(1, 1), (0, 5)])
def test_what_fits_the_memory_is_decoded_once(images, monkeypatch, resident_mib, each):
    """In five epochs of random crops; beside the first three, by which the shape is known."""
    reads = []
    monkeypatch.setattr(examples, "read_pixels", lambda path: reads.append(path) or read_pixels(path))
    stream = opened(images, crop="random", resident_mib=resident_mib).train
    reads.clear()
    first = set(stream.indices(0, 2))  # of which the hash is
    for epoch in range(5):
        stream.batch(epoch, N - 2)
    counts = np.bincount([int(path.stem) for path in reads], minlength=N)[[i for i in range(N) if i % 10]]
    np.testing.assert_array_equal(counts, [each - (each == 1 and row in first) for row in range(N - 2)])


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    """Of 10 images of 6 x 11 pixels, scaled and uncut, 150 bytes hold two."""
    reads = []
    pixels = np.zeros((6, 11, 1), np.uint8)
    source = type("Source", (), {"__getitem__": lambda self, i: reads.append(i) or {"image": pixels}})()
    reader = Reader(source, 256, "x", Frame(6, 6, "random"))
    reader.keep(150)
    for _ in range(2):
        for i in range(10):
            reader.event(i, at=0.5)
    assert reads == [*range(10), *range(2, 10)]


# A data set of TFDS


def test_tfds_images_of_unequal_sizes_get_one(tmp_path):
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (*sides, 3), np.uint8) for sides in rng.integers(4, 30, (6, 2)).tolist()]

    class Photos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"image": image}))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            yield from ((i, {"image": Image.fromarray(image)}) for i, image in enumerate(pixels))

    Photos(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    frame, flat = Frame(8, 5), lambda rows: sorted(row.tobytes() for row in rows)
    data = opened(tmp_path, name="photos", size=(8, 5))
    assert flat(data.test) == flat(frame.cut(frame.cover(image)) for image in pixels)
    with pytest.raises(DataError, match=r"as data\.size does"):
        opened(tmp_path, name="photos", size=None)
