"""TFDS datasets on disk that are not whole: named with how to rebuild them, before anything is decoded, without the network."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from tensorflow_datasets.core import constants

from experiments.config.schema import Data
from experiments.data import prepared
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runtime.errors import DataError


def config(name, data_dir):
    return Data(name=name, data_dir=str(data_dir), levels=17)


def opened(name, data_dir):
    settings = config(name, data_dir)
    return load(open_sources(settings), settings, 0)


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    open_sources(config("digits", folder))
    return folder


def shard(folder, split="train"):
    return next((folder / "digits" / "1.0.0").glob(f"*{split}*"))


def rewritten(name, old, new):
    def damage(folder):
        path = folder / "digits" / "1.0.0" / name
        path.write_text(path.read_text().replace(old, new, 1))

    return damage


def only_begun(folder):
    (folder / "digits" / "1.0.0").rename(folder / "digits" / "1.0.0.incompleteA1B2C3")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: shard(folder).write_bytes(shard(folder).read_bytes()[:-10]), "train.array_record-.* is damaged"),
        (lambda folder: shard(folder, "test").write_bytes(b""), "test.array_record-.* is damaged"),
        (lambda folder: shard(folder).unlink(), "train.array_record-.* is damaged: .*No such file"),
        (rewritten("dataset_info.json", '"1297"', '"1500"'), "train.array_record-.* holds 1297 examples, not the 1500"),
        (rewritten("dataset_info.json", "array_record", "tfrecord"), r"tfrecord|TFRECORD"),
        (rewritten("dataset_info.json", '"splits"', '"splits'), r"is damaged|in part only"),
        (lambda folder: (folder / "digits/1.0.0/dataset_info.json").unlink(), "in part only"),
    ],
    ids=["cut", "empty", "no shard", "records", "format", "json", "no json"],
)
@pytest.mark.parametrize("name", ["digits", "digits:1.0.0"], ids=["ours", "another's"])
def test_a_damaged_tfds_set_is_named_with_how_to_rebuild_it(digits_dir, tmp_path, damage, words, name):
    """Before anything is decoded, whichever shard it is; as ours, which is written again, and as somebody else's."""
    folder = tmp_path / "data"
    shutil.copytree(digits_dir, folder)
    damage(folder)
    with pytest.raises(DataError, match=words) as caught:
        open_sources(config(name, folder))
    lines = str(caught.value).splitlines()
    assert len(lines) <= 5
    assert str(folder / "digits" / "1.0.0") in str(caught.value)
    assert "delete" in str(caught.value)
    assert ("writes it again" if name == "digits" else f"tfds build {name} --data_dir={folder}") in lines[-1]


@pytest.mark.parametrize("split", ["all[:50%]", "all[:10]", "validation", "train[:x]", "train[", ""])
def test_a_part_that_there_is_not_is_no_reason_to_delete_the_data(digits_dir, split):
    for splits in ({"train": split}, {"test": split}):
        with pytest.raises(DataError, match=r"digits has the splits .*train.* none of them, nor a part") as caught:
            open_sources(Data(name="digits", data_dir=str(digits_dir), **splits))
        assert "delete" not in str(caught.value)


@pytest.mark.parametrize("place", ["~/tensorflow_datasets", "/dev/null/tensorflow_datasets"], ids=["no home", "no folder"])
def test_digits_that_cannot_be_kept_are_written_for_this_process(monkeypatch, homeless, capsys, place):
    """A folder that the user named is another thing, and so are data of others."""
    monkeypatch.setattr(constants, "DATA_DIR", place)
    assert len(open_sources(Data(name="digits", levels=17)).train) == 1297
    assert capsys.readouterr().out.startswith("warning: the digits are not kept (")
    assert not Path("~").exists()
    with pytest.raises(DataError, match=rf"cannot be written to {place}: .* set --config\.data\.data_dir"):
        open_sources(config("digits", place))
    with pytest.raises(DataError, match=place):
        open_sources(Data(name="mnist"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux's folder in which no file can be made")
def test_a_lock_that_cannot_be_made_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(prepared, "PATIENCE", 0.1)
    with pytest.raises(DataError, match=r"the digits cannot be written to /proc: .* set --config\.data\.data_dir"):
        open_sources(config("digits", "/proc"))


def test_digits_that_are_there_need_no_lock(digits_dir, monkeypatch):
    """Their folder may be another's, and not to be written to."""
    monkeypatch.setattr(prepared, "FileLock", None)
    assert len(open_sources(config("digits", digits_dir)).test) == 500


@pytest.mark.slow
def test_a_flipped_bit_in_a_record_is_found(digits_dir, tmp_path):
    """ArrayRecord has checksums: no flip in what examples are made of is read as another picture."""
    shutil.copytree(digits_dir, tmp_path / "data")
    whole, truth = shard(digits_dir).read_bytes(), opened("digits:1.0.0", digits_dir).train_examples()
    rng = np.random.default_rng(0)
    found = 0
    for place in rng.integers(0, 200_000, 4):
        shard(tmp_path / "data").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(opened("digits:1.0.0", tmp_path / "data").train_examples(), truth)
        except DataError:
            found += 1
    assert found


def test_ours_is_written_again_after_a_preparation_that_was_killed(digits_dir, tmp_path):
    shutil.copytree(digits_dir, tmp_path / "data")
    only_begun(tmp_path / "data")
    with pytest.raises(DataError, match=r"1\.0\.0\.incompleteA1B2C3 was prepared in part only"):
        opened("digits:1.0.0", tmp_path / "data")
    assert opened("digits", tmp_path / "data").digest == opened("digits", digits_dir).digest


def test_nothing_is_asked_of_the_network(digits_dir, tmp_path, monkeypatch):
    """Neither to write the digits, nor to open them or another's set, nor to say that one is not there."""
    asked = []

    def refuse(*arguments):
        asked.append(arguments)
        raise OSError("no network here")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    assert len(opened("digits", tmp_path / "new").train) == 1297
    assert len(opened("digits:1.0.0", digits_dir).train) == 1297
    for name in ("cifar10", "cifra10", "cifar10:3.0.2", "imagenet2012"):
        with pytest.raises(DataError, match="no prepared dataset"):
            opened(name, tmp_path)
    assert asked == []
