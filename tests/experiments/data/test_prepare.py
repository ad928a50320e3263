"""data prepare: whole or not there, whatever comes between; and names, folders and commands that people give it."""

import subprocess

import pytest
from archives import check, cifar10_files, mnist_files, prepared, tar, written
from tensorflow_datasets.core.utils.shard_utils import ShardConfig

from experiments.config.schema import Data
from experiments.data.archives import ARCHIVES
from experiments.data.prepare import prepare
from experiments.data.sources import open_sources
from experiments.main import main
from experiments.runtime.errors import ConfigError, DataError
from experiments.runtime.signals import Interrupted, stop

archives_writer = "experiments.data.archives.writer"


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    files, truth = cifar10_files()
    return tar(tmp_path_factory.mktemp("downloads") / "cifar-10-binary.tar.gz", files), truth


@pytest.mark.parametrize("n", [1, 3, 7])
def test_examples_stay_in_order_over_several_files(tmp_path, monkeypatch, cifar, n):
    archive, truth = cifar
    monkeypatch.setattr(f"{archives_writer}.ShardConfig", lambda: ShardConfig(num_shards=min(n, 2)))
    sources = prepared("cifar10", archive, tmp_path)
    check(sources.train, truth["train"])
    check(sources.test, truth["test"])
    assert len([*(tmp_path / "cifar10" / "3.0.2").glob("*train.array_record*")]) == min(n, 2)


@pytest.mark.parametrize("calls", [0, 1, 4, 9])
def test_one_that_is_interrupted_leaves_nothing_and_begins_again(tmp_path, monkeypatch, cifar, calls):
    """It is interrupted before the sums, among the examples of training, and among those held out."""
    archive, truth = cifar
    count = 0

    def interrupted():
        nonlocal count
        count += 1
        if count > calls:
            raise Interrupted("stopped")

    monkeypatch.setattr(stop, "check", interrupted)
    with pytest.raises(Interrupted):
        prepare("cifar10", archive, str(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith("3.0.2")]
    monkeypatch.undo()
    check(prepared("cifar10", archive, tmp_path).train, truth["train"])


def test_what_a_killed_one_left_is_removed(tmp_path, cifar):
    """The files that another process is writing stay."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    with subprocess.Popen(["sleep", "60"]) as other:
        parts = {pid: tmp_path / "cifar10" / f".part-{pid}-1-folder" for pid in (gone.pid, other.pid)}
        for part in parts.values():
            (part / "cifar10" / "3.0.2.incompleteA1B2C3").mkdir(parents=True)
        prepare("cifar10", cifar[0], str(tmp_path))
        other.kill()
    assert {path.name for path in (tmp_path / "cifar10").iterdir()} == {"3.0.2", parts[other.pid].name}


def test_one_that_is_there_stays(tmp_path, cifar, capsys):
    prepare("cifar10", cifar[0], str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said = capsys.readouterr().out
    assert f"prepared {tmp_path / 'cifar10' / '3.0.2'}: train 10, test 2" in said
    assert f"to use it: --config.data.name=cifar10 --config.data.data_dir={tmp_path}" in said
    prepare("cifar10", tmp_path / "nowhere", str(tmp_path))
    assert "is there already: delete it" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_without_a_folder_it_is_tfds_s(tmp_path, monkeypatch, cifar):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    prepare("cifar10", cifar[0], "")
    assert len(open_sources(Data(name="cifar10")).train) == 10


def test_a_folder_in_no_home_is_named(monkeypatch, homeless, cifar):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", "~/tensorflow_datasets")
    with pytest.raises(DataError, match=r"there is no home folder .* set --config\.data\.data_dir"):
        prepare("cifar10", cifar[0], "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifra10", r"no published data set .* \(did you mean cifar10\?\)"),
        ("emnist", r"did you mean emnist/"),
        ("cifar10:3.0.2", r"did you mean cifar10\?"),
        ("digits", "digits is a source of ours"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(tmp_path, cifar, name, words):
    with pytest.raises(ConfigError, match=words):
        prepare(name, cifar[0], str(tmp_path))


@pytest.mark.parametrize("name", ["My images", "../x", "a/b", "9", ""])
def test_a_name_that_is_no_folder_s_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="write small letters, digits and _"):
        prepare(name, tmp_path, str(tmp_path / "data"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cifar10", "celeba_64", "emnist/letters"])
def test_data_that_are_not_there_name_the_command(tmp_path, name):
    with pytest.raises(DataError) as caught:
        open_sources(Data(name=name, data_dir=str(tmp_path)))
    lines = str(caught.value).splitlines()
    assert f"data prepare {name} --from=ARCHIVE --config.data.data_dir={tmp_path}" in str(caught.value)
    assert ("tfds build" in lines[-1]) == ARCHIVES[name].in_tfds
    assert len(lines) <= 5


@pytest.mark.usefixtures("in_root")
def test_a_published_recipe_starts_on_what_the_command_wrote(tmp_path, cifar, capsys):
    folder = f"--config.data.data_dir={tmp_path}"
    assert main(["data", "prepare", "cifar10", f"--from={cifar[0]}", folder]) == 0
    assert main(["data", "check", "--config=configs/cifar10/ddpm.py", folder]) == 0
    said = capsys.readouterr().out
    assert "all 12 examples can be used" in said
    assert "3 is cat" in said


@pytest.mark.usefixtures("in_root")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["prepare"], 2, "name the data set and its archive, as in data prepare cifar10 --from="),
        (["prepare", "cifar10"], 2, "there are cifar10, cifar100, mnist"),
        (["prepare", "cifar10", "--from=x", "--config=configs/digits/vp.py"], 2, "no --config or --listing"),
        (["prepare", "cifar10", "--from=x", "--config.data.name=mnist"], 2, "--config.data.data_dir=DIR alone"),
        (["prepare", "cifar10", "--from=nowhere.tar.gz"], 3, "no such file or folder"),
        (["check"], 2, "--config=FILE"),
        (["check", "cifar10", "--config=configs/digits/vp.py"], 2, "no NAME or --from"),
    ],
    ids=["nothing", "no archive", "config", "override", "nowhere", "no config", "name"],
)
def test_words_that_do_not_go_together_are_refused(capsys, words, code, message):
    assert main(["data", *words]) == code
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) <= 5


def test_a_data_set_of_an_odd_shape_is_its_own(tmp_path):
    """The images of IDX files have the shape that these say."""
    files, truth = mnist_files(sides=(5, 9))
    sources = prepared("mnist", written(tmp_path / "files", files), tmp_path / "data")
    check(sources.train, truth["train"])
