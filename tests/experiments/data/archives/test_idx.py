"""IDX files, read back to the bit, of MNIST and its kin; and files that say more or less than they hold."""

import gzip
import struct
import zipfile

import numpy as np
import pytest
from archives import check, idx, mnist_files, prepared, written, zipped

from experiments.runtime.errors import DataError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(("name", "third"), [("mnist", "3"), ("fashion_mnist", "Dress"), ("kmnist", "tsu")])
def test_a_folder_of_four_files_is_read_back(tmp_path, name, third):
    files, truth = mnist_files()
    sources = prepared(name, written(tmp_path / "files", files), tmp_path / "data")
    check(sources.train, truth["train"])
    check(sources.test, truth["test"])
    assert sources.classes[3] == third


def test_a_zip_of_them_and_what_a_browser_made_of_them_are_the_same(tmp_path):
    files, truth = mnist_files()
    plain = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in files.items()}
    for i, place in enumerate((zipped(tmp_path / "mnist.zip", files), written(tmp_path / "plain", plain))):
        sources = prepared("mnist", place, tmp_path / str(i))
        check(sources.train, truth["train"])
        check(sources.test, truth["test"])


@pytest.mark.parametrize(("part", "classes", "name"), [("letters", 27, "B"), ("balanced", 47, "2"), ("byclass", 62, "2")])
def test_emnist_is_read_from_its_one_archive(tmp_path, part, classes, name):
    """The other parts lie beside it; the images stay on their sides, as published."""
    ours, truth = mnist_files(classes=classes, names=(f"emnist-{part}-train", f"emnist-{part}-test"))
    others, _ = mnist_files(n=2, names=("emnist-digits-train", "emnist-digits-test"))
    place = zipped(tmp_path / "gzip.zip", {f"gzip/{file}": content for file, content in (ours | others).items()})
    sources = prepared(f"emnist/{part}", place, tmp_path / "data")
    check(sources.train, truth["train"])
    check(sources.test, truth["test"])
    assert len(sources.classes) == classes
    assert sources.classes[2] == name


def claims(array, n):
    """An IDX file whose header counts n examples."""
    content = idx(array)
    return gzip.compress(content[:4] + struct.pack(">I", n) + content[8:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, a, y: f.pop(LABELS), "holds no train-labels-idx1-ubyte"),
        (lambda f, a, y: f.update({IMAGES: f[IMAGES][:-9]}), "train-images-idx3-ubyte.gz is damaged"),
        (lambda f, a, y: f.update({IMAGES: f[IMAGES][:-8] + bytes(8)}), "train-images-idx3-ubyte.gz is damaged"),
        (lambda f, a, y: f.update({IMAGES: f[LABELS]}), "begins with 0x801, and bytes of 3 axes with 0x803"),
        (lambda f, a, y: f.update({IMAGES: b""}), "ends in the middle"),
        (lambda f, a, y: f.update({IMAGES: claims(a, 9), LABELS: gzip.compress(idx(np.arange(9)))}), "ends in the middle"),
        (lambda f, a, y: f.update({IMAGES: claims(a, 4), LABELS: gzip.compress(idx(y[:4]))}), "goes on after its last"),
        (lambda f, a, y: f.update({LABELS: gzip.compress(idx(y[:4]))}), "5 images of 28 x 28, .* 4 labels"),
        (lambda f, a, y: f.update({LABELS: claims(y, 2**31)}), "ends in the middle|GiB of memory"),
        (lambda f, a, y: f.update({LABELS: gzip.compress(idx(0 * y + 10))}), "has a label 10"),
        (lambda f, a, y: f.update({IMAGES: gzip.compress(idx(a[:, 1:]))}), "images of several shapes"),
    ],
    ids=["absent", "cut", "sum", "kind", "empty", "fewer", "more", "labels", "claim", "label", "shape"],
)
def test_what_is_not_idx_is_refused(tmp_path, change, words):
    files, truth = mnist_files()
    images, labels = truth["train"]
    change(files, images[..., 0], np.array(labels))
    with pytest.raises(DataError, match=words) as caught:
        prepared("mnist", written(tmp_path / "files", files), tmp_path / "data")
    assert len(str(caught.value).splitlines()) <= 5
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_a_zip_with_a_flipped_bit_is_refused(tmp_path):
    files, _ = mnist_files()
    path = tmp_path / "mnist.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    content[content.index(files[IMAGES]) + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        prepared("mnist", path, tmp_path / "data")
