"""SVHN's MATLAB files, read back to the bit; and others."""

import numpy as np
import pytest
from archives import check, prepared, svhn
from scipy.io import savemat

from experiments.runtime.errors import DataError


def test_the_digit_0_is_published_as_10(tmp_path):
    """It holds with the extra images, and without them."""
    truth = svhn(tmp_path, "train", "test")
    sources = prepared("svhn_cropped", tmp_path, tmp_path / "two")
    check(sources.train, truth["train"])
    check(sources.test, truth["test"])
    assert 0 in truth["train"].labels
    truth = svhn(tmp_path, "train", "test", "extra")
    check(prepared("svhn_cropped", tmp_path, tmp_path / "three", train="extra").train, truth["extra"])


X, Y = np.zeros((32, 32, 3, 2), np.uint8), np.ones((2, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X}, r"must hold X \[32, 32, 3, N\] and y"),
        ({"X": X[1:], "y": Y}, "must hold X"),
        ({"X": X, "y": Y[:1]}, "must hold X"),
        ({"X": X, "y": 0 * Y}, "labels of 0 to 0"),
        ({"X": X.astype(float), "y": Y}, "holds float64"),
    ],
    ids=["labels", "shape", "count", "label", "dtype"],
)
def test_what_is_not_svhn_is_refused(tmp_path, arrays, words):
    svhn(tmp_path, "train", "test")
    savemat(tmp_path / "test_32x32.mat", arrays)
    with pytest.raises(DataError, match=words):
        prepared("svhn_cropped", tmp_path, tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"\x89HDF\r\n\x1a\n" + bytes(600)], ids=["empty", "text", "hdf5"])
def test_what_is_not_matlab_s_is_refused(tmp_path, content):
    svhn(tmp_path, "train", "test")
    (tmp_path / "train_32x32.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"train_32x32\.mat is damaged, or not as published") as caught:
        prepared("svhn_cropped", tmp_path, tmp_path / "data")
    assert len(str(caught.value).splitlines()) <= 5
