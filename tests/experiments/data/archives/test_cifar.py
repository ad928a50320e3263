"""CIFAR's records, read back to the bit; and files that only look like them."""

import numpy as np
import pytest
from archives import check, cifar10_files, drawn, prepared, records, tar, written

from experiments.runtime.errors import DataError

BATCH = "cifar-10-batches-bin/data_batch_3.bin"


def test_cifar10_is_read_back(tmp_path):
    """It is read from its archive, and from the folder that this was unpacked to."""
    files, truth = cifar10_files()
    packed = tar(tmp_path / "cifar-10-binary.tar.gz", files)
    for i, place in enumerate((packed, written(tmp_path / "unpacked", files))):
        sources = prepared("cifar10", place, tmp_path / str(i))
        check(sources.train, truth["train"])
        check(sources.test, truth["test"])
        assert sources.classes[3] == "cat"


def test_cifar100_has_two_labels(tmp_path):
    """The coarse one is the first byte of a record."""
    truth = {"train": drawn(3, (32, 32, 3), 100, 0), "test": drawn(2, (32, 32, 3), 100, 1)}
    coarse = {split: [(7 * y) % 20 for y in its.labels] for split, its in truth.items()}
    files = {f"cifar-100-binary/{split}.bin": records(truth[split], coarse[split]) for split in truth}
    for kind, n in (("fine", 100), ("coarse", 20)):
        files[f"cifar-100-binary/{kind}_label_names.txt"] = "\n".join(f"{kind}_{i}" for i in range(n)).encode()
    sources = prepared("cifar100", tar(tmp_path / "cifar-100-binary.tar.gz", files), tmp_path / "data")
    check(sources.train, truth["train"])
    check(sources.test, truth["test"])
    check(sources.test, truth["test"]._replace(labels=coarse["test"]), "coarse_label")
    assert sources.classes[99] == "fine_99"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop(BATCH), r"holds no data_batch_3\.bin; it holds data_batch_1\.bin"),
        (lambda files: files.update({BATCH: files[BATCH][:-1]}), r"data_batch_3\.bin has 6145 bytes, not records of 3073"),
        (lambda files: files.update({BATCH: b""}), r"data_batch_3\.bin has 0 bytes"),
        (lambda files: files.update({BATCH: b"\x0a" + files[BATCH][1:]}), r"data_batch_3\.bin has a label 10, .* 0 to 9"),
        (lambda files: files.update({"again/data_batch_3.bin": files[BATCH]}), r"holds 2 files data_batch_3\.bin"),
        (lambda files: files.update({"cifar-10-batches-bin/batches.meta.txt": b"a\na\n"}), "must hold the names"),
    ],
    ids=["absent", "cut", "empty", "label", "twice", "names"],
)
def test_what_is_not_cifar_is_refused(tmp_path, change, words):
    files, _ = cifar10_files()
    change(files)
    with pytest.raises(DataError, match=words) as caught:
        prepared("cifar10", tar(tmp_path / "cifar-10-binary.tar.gz", files), tmp_path / "data")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 5
    assert "cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html" in lines[-2]
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_an_archive_that_was_cut_short_is_refused(tmp_path):
    """Wherever it was cut."""
    files, _ = cifar10_files(per_batch=4)
    path = tar(tmp_path / "cifar-10-binary.tar.gz", files)
    whole = path.read_bytes()
    for n in np.linspace(100, len(whole) - 20, 4).astype(int):
        path.write_bytes(whole[:n])
        with pytest.raises(DataError, match="is damaged, or not as published"):
            prepared("cifar10", path, tmp_path / "data")


def test_the_version_of_pickles_is_not_read(tmp_path):
    files, _ = cifar10_files()
    pickles = {name.removesuffix(".bin"): content for name, content in files.items()}
    with pytest.raises(DataError, match=r"holds no batches\.meta\.txt|holds no data_batch_1\.bin"):
        prepared("cifar10", tar(tmp_path / "cifar-10-python.tar.gz", pickles), tmp_path / "data")
