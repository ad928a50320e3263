"""ImageNet's .npz files in their zips, read back to the bit; and pickles, claims and other arrays in their place."""

import numpy as np
import pytest
from archives import check, imagenet_files, npz, prepared, written, zipped
from attacks import Payload
from attacks import npy as claiming
from attacks import npz as raw

from experiments.runtime.errors import DataError


@pytest.fixture(scope="module")
def published():
    return imagenet_files(32)


def test_three_archives_are_read_back(tmp_path):
    """The side is 64, and two of them are of training; the labels are published from 1 on."""
    train, validation, truth = imagenet_files(64)
    halves = [dict(list(train.items())[half]) for half in (slice(5), slice(5, None))]
    for i, half in enumerate(halves):
        zipped(tmp_path / f"Imagenet64_train_part{i + 1}_npz.zip", half)
    zipped(tmp_path / "Imagenet64_val_npz.zip", validation)
    sources = prepared("imagenet_resized/64x64", tmp_path, tmp_path / "data", test="validation")
    check(sources.train, truth["train"])
    check(sources.test, truth["validation"])
    assert sources.classes[0] == "n02119789"
    assert len(set(sources.classes)) == 1000


def test_batches_that_were_unpacked_are_read_back(tmp_path, published):
    """They keep their order: 10 comes after 9."""
    train, validation, truth = published
    place = written(tmp_path / "files", train | validation)
    sources = prepared("imagenet_resized/32x32", place, tmp_path / "data", test="validation")
    check(sources.train, truth["train"])
    check(sources.test, truth["validation"])


LABELS, DATA = np.array([1, 2]), np.zeros((2, 3072), np.uint8)


def header(shape, dtype):
    """An .npz file whose data claims this shape."""
    return raw({"data.npy": claiming(shape, dtype)})


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (None, r"holds no train_data_batch_10\.npz"),
        (b"PK" + bytes(100), "is damaged"),
        (npz(data=DATA), "labels is not there"),
        (npz(data=DATA[:, 1:], labels=LABELS), r"data of train_data_batch_10\.npz must be bytes \[N, 3072\]"),
        (npz(data=DATA.astype(float), labels=LABELS), "must be bytes"),
        (npz(data=DATA, labels=LABELS[:1]), r"must be integers \[2\]"),
        (npz(data=DATA, labels=LABELS - 1), "has a label -1"),
        (npz(data=np.asfortranarray(DATA), labels=LABELS), "in rows"),
        (header((2**40, 3072), "|u1"), r"takes \d+ bytes"),
        (raw({"data.npy": b"\x93NUMPY"}), "is damaged, or not as published .*magic"),
    ],
    ids=["absent", "damaged", "labels", "shape", "dtype", "count", "label", "order", "claim", "head"],
)
def test_what_is_not_imagenet_is_refused(tmp_path, published, batch, words):
    train, validation, _ = published
    files = train | validation | {"train_data_batch_10.npz": batch}
    place = written(tmp_path / "files", {name: content for name, content in files.items() if content is not None})
    with pytest.raises(DataError, match=words) as caught:
        prepared("imagenet_resized/32x32", place, tmp_path / "data")
    assert len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize("key", ["data", "labels"])
def test_a_pickle_is_refused_and_not_run(tmp_path, published, key):
    train, validation, _ = published
    arrays = {"data": DATA, "labels": LABELS} | {key: np.array([Payload(tmp_path / "mark")] * 2, object)}
    place = written(tmp_path / "files", train | validation | {"train_data_batch_10.npz": npz(**arrays)})
    with pytest.raises(DataError, match=f"{key} is a pickle, which could run any program"):
        prepared("imagenet_resized/32x32", place, tmp_path / "data")
    assert not (tmp_path / "mark").exists()
