"""The sums of files against those that TFDS has for its downloads, and against each other."""

import gzip
import hashlib
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from archives import mnist_files, prepared, written

from experiments.data.archives import ARCHIVES
from experiments.runtime.errors import DataError

IN_TFDS = [name for name, archive in ARCHIVES.items() if archive.in_tfds]


@pytest.mark.slow
def test_they_are_those_of_tfds():
    """Each file has its own, by its name."""
    root = Path(tfds.__file__).parent
    tables = [*root.glob("url_checksums/*.txt"), *root.glob("datasets/*/checksums.tsv")]
    rows = [line.split("\t") for table in tables for line in table.read_text().splitlines()]
    theirs = {(name, its) for _, _, its, name in (row for row in rows if len(row) == 4)}
    ours = {pair for archive in ARCHIVES.values() for pair in archive.sums.items()}
    assert ours <= theirs
    assert len({its for _, its in ours}) == 24


@pytest.mark.parametrize("name", IN_TFDS)
def test_versions_and_classes_are_those_of_tfds(tmp_path, name):
    """EMNIST's classes are numbers there; that of no letter is 0, and there are no more than 26 others."""
    name, _, part = name.partition("/")
    builder = tfds.builder_cls(name)(data_dir=tmp_path, **({"config": part} if part else {}))
    archive = ARCHIVES[f"{name}/{part}" if part else name]
    assert str(builder.version) == archive.version
    if name in ("fashion_mnist", "kmnist", "mnist"):
        assert tuple(builder.info.features["label"].names) == archive.read.keywords["classes"]
    if name == "emnist" and part != "letters":
        assert len(archive.read.keywords["classes"]) == builder.info.features["label"].num_classes


def published(monkeypatch, name, files):
    """The test takes these files for those of the data set."""
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(ARCHIVES, name, ARCHIVES[name]._replace(sums=sums))


def test_files_as_published_are_said_to_be_so(tmp_path, monkeypatch, capsys):
    files, _ = mnist_files()
    published(monkeypatch, "mnist", files)
    prepared("mnist", written(tmp_path / "files", files), tmp_path / "data")
    said = capsys.readouterr().out
    assert f"as published, by sha256: {', '.join(files)}" in said
    assert "warning" not in said


def test_other_files_are_prepared_with_a_warning(tmp_path, monkeypatch, capsys):
    """A line for each; and one if there is no file whose sum is known."""
    files, _ = mnist_files()
    published(monkeypatch, "mnist", files)
    others, _ = mnist_files(n=4)
    prepared("mnist", written(tmp_path / "files", others), tmp_path / "data")
    said = capsys.readouterr().out
    assert said.count("is not as published for mnist: prepared from what it holds") == 4
    plain = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in others.items()}
    prepared("mnist", written(tmp_path / "plain", plain), tmp_path / "again")
    assert "holds no published file, whose sum could be checked" in capsys.readouterr().out


def test_a_file_of_another_data_set_is_refused(tmp_path, monkeypatch):
    """MNIST and its kin share their names."""
    files, _ = mnist_files()
    published(monkeypatch, "fashion_mnist", files)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is that of fashion_mnist, not of mnist"):
        prepared("mnist", written(tmp_path / "files", files), tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
