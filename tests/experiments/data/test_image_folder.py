"""Folders as people have them: which files are examples of which split, and which class they are."""

import numpy as np
import pytest
from PIL import Image

from experiments.config.schema import Data
from experiments.data.check import check
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runtime.errors import DataError


@pytest.fixture
def lay(tmp_path):
    """lay(*names) -> tmp_path, with a 2x2 image of its own value for each name of a file."""

    def lay(*names):
        for name in names:
            value = sum(1 for _ in tmp_path.rglob("*.png"))
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((2, 2), value, np.uint8)).save(tmp_path / name)
        return tmp_path

    return lay


def opened(folder, **others):
    settings = Data(name="folder", data_dir=str(folder), **others)
    return load(open_sources(settings), settings, 0)


def labels(folder, **others):
    """The label of each image by its path, of both splits."""
    sources = open_sources(Data(name="folder", data_dir=str(folder), **others))
    return {str(item["image"].relative_to(folder)): item.get("label") for item in (*sources.train, *sources.test)}


# Splits


@pytest.mark.parametrize(
    ("names", "config", "words"),
    [
        (["train", "val"], {}, "holds train, val, and no test"),
        (["train", "Test"], {}, "holds Test, train, and no test"),
        (["train"], {}, "holds train, and no test"),
        (["test"], {}, "holds test, and no train"),
        (["train", "test"], {"test": "tset"}, "holds test, train, and no tset"),
        (["cats", "dogs"], {"test": "held-out"}, "holds cats, dogs, and no train and no held-out"),
        (["Training", "Validation"], {}, "holds Training, Validation, and no train and no test"),
        (["train2017", "val2017"], {}, "holds train2017, val2017, and no train and no test"),
        (["trainA", "trainB", "testA", "testB"], {}, "holds testA, testB, trainA, trainB, and no train and no test"),
        (["test_images", "train_images"], {}, "and no train and no test"),
        (["valid"], {}, "holds valid, and no train and no test"),
    ],
)
def test_half_a_split_is_refused_with_what_is_there(lay, names, config, words):
    """All of it was scanned again, and validation images were trained on. Each way out that the message names is one."""
    root = lay(*(f"{name}/{label}/{i}.png" for name in names for label in "ab" for i in range(6)))
    with pytest.raises(DataError) as caught:
        opened(root, **config)
    first, *remedies = str(caught.value).splitlines()
    assert first == f"{root} {words}:" if words.startswith("holds") else words in first
    assert len(remedies) == 2
    if len(names) > 1:
        data = opened(root, train=names[0], test=names[1])
        assert (len(data.train), len(data.test)) == (12, 12)
    if "leaving both out" in remedies[1]:
        assert len(opened(root).test) == 2 * len(names) - 1
    else:
        alone = remedies[1].partition("--config.data.data_dir=")[2].split()[0]
        assert (len(opened(alone).train), len(opened(alone).test)) == (10, 2)


def test_classes_whose_names_only_begin_like_a_split_are_held_out_by_tenths(lay):
    names = ["trainer", "testudo", "valley", "valve", "training_dog"]
    data = opened(lay(*(f"{name}/{i}.png" for name in names for i in range(4))))
    assert (len(data.train), len(data.test)) == (18, 2)


@pytest.mark.parametrize(
    ("train", "test"), [(".", "test"), ("train", "train"), ("train", "train/a"), ("link", "test"), ("link", "test/a")]
)
def test_a_split_in_the_other_is_refused(lay, train, test):
    root = lay("train/a/0.png", "test/a/0.png")
    (root / "link").symlink_to("test")
    with pytest.raises(DataError, match=rf"data\.train = '{train}' and data\.test = '{test}' share images"):
        opened(root, train=train, test=test)


# Files

CLEAN = [f"{label}/{i}.png" for label in ("cat", "dog") for i in range(3)]
DIRT = {
    "hidden": [".Trash-0/files/x.png", ".ipynb_checkpoints/x.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/._0.png"],
    "__MACOSX": ["__MACOSX/cat/x.png"],
    "@eaDir": ["@eaDir/x.png", "dog/@eaDir/0.png"],
    "lost+found": ["lost+found/x.png"],
    ".avif": ["dog/0.avif", "dog/1.AVIF"],
    ".txt": ["labels.txt", "cat/about.txt"],
    "without a suffix": ["LICENSE"],
}


def test_hidden_and_foreign_files_are_counted_and_nothing_else(lay, capsys):
    """They were classes that moved every label, and a `._x.png` was an image that stopped the run."""
    root = lay(*CLEAN)
    before = labels(root)
    assert "left out" not in capsys.readouterr().out
    for name in [name for names in DIRT.values() for name in names]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\0\5\26\7")
    assert labels(root) == before == {name: int(name.startswith("dog")) for name in CLEAN}
    capsys.readouterr()
    settings = Data(name="folder", data_dir=str(root))
    check(open_sources(settings), settings)
    said = capsys.readouterr().out
    counted = said.partition(f"{root}: left out ")[2].splitlines()[0].split(", ")
    assert sorted(counted) == sorted(f"{len(names)} {kind}" for kind, names in DIRT.items())
    assert "all 6 examples can be used" in said


def test_all_that_is_left_out_is_counted(lay, capsys):
    root = lay(*CLEAN)
    for i in range(20):
        (root / f"scan.{i:03}").touch()
    labels(root)
    said = capsys.readouterr().out
    assert f"{root}: left out 1 .0" in said
    assert said.endswith(", 12 of other kinds\n")


def test_home_is_where_a_shell_would_look(lay, monkeypatch):
    """A shell leaves the ~ in --config.data.data_dir=~/images as it is."""
    monkeypatch.setenv("HOME", str(lay(*(f"images/{name}" for name in CLEAN))))
    assert len(opened("~/images").train) == 5


def test_no_folder_is_not_the_working_folder(lay, monkeypatch):
    """It was scanned with all that lies below it."""
    monkeypatch.chdir(lay(*CLEAN))
    with pytest.raises(DataError, match="no folder '': set --config"):
        opened("")


def test_a_hidden_root_is_the_users_own(lay):
    root = lay(*(f".data/{name}" for name in CLEAN))
    assert len(labels(root / ".data")) == 6


def test_every_suffix_of_a_format_counts(lay):
    root = lay("a.png", "b.apng", "c.JPG", "d.jfif", "e.jpe", "f.jpeg", "g.bmp", "h.gif", "i.TIF", "j.tiff", "k.webp")
    assert len(labels(root)) == 11


def test_a_linked_class_is_a_class_and_a_circle_ends(lay, tmp_path_factory, capsys):
    """A link to a folder was passed over in silence."""
    root, elsewhere = lay(*CLEAN), tmp_path_factory.mktemp("elsewhere")
    Image.new("L", (2, 2)).save(elsewhere / "0.png")
    (root / "cow").symlink_to(elsewhere)
    (root / "dog" / "back").symlink_to(root)
    (root / "hound").symlink_to("dog")
    assert labels(root) == {name: 2 * name.startswith("dog") for name in CLEAN} | {"cow/0.png": 1}
    assert f"{root}: left out 2 linked twice" in capsys.readouterr().out


# Classes


def test_numbers_count_as_numbers(lay):
    """Folder 10 was label 2. Other names come after the numbers."""
    names = [*map(str, range(12)), "1a", "ten"]
    root = lay(*(f"{name}/0.png" for name in names))
    assert labels(root) == {f"{name}/0.png": i for i, name in enumerate(names)}
    assert open_sources(Data(name="folder", data_dir=str(root))).classes == tuple(names)


def test_equal_names_in_other_folders_are_other_classes(lay):
    """cat/images and dog/images were one class."""
    classes = labels(lay("train/cat/images/0.png", "train/dog/images/0.png", "test/dog/images/0.png", "test/0.png"))
    assert classes == {"train/cat/images/0.png": 0, "train/dog/images/0.png": 1, "test/dog/images/0.png": 1, "test/0.png": None}
