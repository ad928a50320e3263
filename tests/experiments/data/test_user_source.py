"""A data source from a user's own module, by its name alone."""

import json
import sys

import numpy as np
import pytest
from runs import MOONS, in_root, metrics, run  # noqa: F401

from experiments.config.schema import Data
from experiments.data.check import check
from experiments.data.dataset import load
from experiments.data.sources import SOURCES, open_sources
from experiments.main import main
from experiments.runtime.errors import ConfigError, DataError

MODULE = '''
import numpy as np
from experiments.data.sources import Sources

class Rings:
    """Points on two circles, one for each label."""

    def __init__(self, n, seed):
        self.angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)

    def __len__(self):
        return len(self.angles)

    def __getitem__(self, i):
        x = np.array([np.cos(self.angles[i]), np.sin(self.angles[i])], np.float32)
        return {"image": x * (1 + i % 2) / 2, "label": i % 2}

def rings(config):
    return Sources(Rings(200, 1), Rings(100, 2), classes=["inner", "outer"])

def twice(config):
    return Sources(Rings(200, 1), Rings(100, 2), classes=["ring", "ring"])

def squares(config):
    square = lambda i: {"image": np.full((4, 4), i, np.uint8), "label": i % 2}
    return Sources([square(i) for i in range(20)], [square(i) for i in range(20, 30)])

def pair(config):
    return [{"image": np.zeros(2)}], [{"image": np.zeros(2)}]

def stream(config):
    return Sources(iter([]), [])

def tuples(config):
    return Sources([(np.zeros(2, np.float32), 0)] * 9, [(np.zeros(2, np.float32), 0)] * 9)

def labelled(label, classes=()):
    square = lambda i: {"image": np.full((4, 4), i, np.uint8), "label": label(i)}
    return Sources([square(i) for i in range(20)], [square(i) for i in range(20, 30)], classes)

def unnamed(config):
    return labelled(lambda i: i % 2, None)

def array(config):
    return labelled(lambda i: i % 2, np.array(["cat", "dog"]))

def hashes(config):
    return labelled(lambda i: 2**63 + i)

def lists(config):
    return labelled(lambda i: [i % 2])

def columns(config):
    return labelled(lambda i: np.eye(2)[i % 2])

def alike(config):
    return labelled(lambda i: i % 2, ["a\\xa0b", "a\\\\xa0b"])

def three(config):
    return labelled(lambda i: i % 2, 3)

class Remote(list):
    def __len__(self):
        raise RuntimeError("not connected")

def remote(config):
    return Sources(Remote(), [])

def nothing(config):
    return Sources([], [])

def broken(config):
    return {}["nothing"]

def offline(config):
    open(config.data_dir + "/absent.npy")

number = 3
'''


@pytest.fixture(autouse=True)
def my_data(tmp_path, monkeypatch):
    """The module `my_data`, in a folder that is on the path for this test alone."""
    (tmp_path / "my_data.py").write_text(MODULE)
    (tmp_path / "broken_data.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_data", None)


RINGS = "--config.data.name=my_data:rings"


@pytest.mark.slow
def test_two_steps_are_trained_on_it(tmp_path):
    assert run("train", tmp_path / "run", RINGS, "--config.train.steps=2", "--config.train.log_every=1") == 0
    assert len(metrics(tmp_path / "run")) == 2
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    settings = Data(name="my_data:rings", levels=0)
    facts = load(open_sources(settings), settings, seed=0).facts
    assert (record["data"], record["shape"], record["classes"]) == (facts.digest, [2], ["inner", "outer"])


def test_every_example_is_looked_at(capsys):
    assert main(["data", "check", f"--config={MOONS}", RINGS]) == 0
    words = capsys.readouterr().out
    assert "my_data:rings train: 200 readable examples, 2 classes of 100 to 100" in words
    assert "labels: 0 is inner, 1 is outer" in words
    assert "all 300 examples can be used" in words


def test_its_images_are_decoded_and_chosen_like_ours():
    settings = Data(name="my_data:squares", only=(1,))
    data = load(open_sources(settings), settings, seed=0)
    assert (data.shape, len(data.train), len(data.test)) == ((4, 4, 1), 10, 5)
    np.testing.assert_array_equal(data.test[:, 0, 0, 0], range(21, 30, 2))
    np.testing.assert_array_equal(data.train_labels, 1)


@pytest.mark.parametrize(
    ("name", "labels", "classes"),
    [
        ("unnamed", [0, 1], ()),
        ("array", [0, 1], ("cat", "dog")),
        ("hashes", None, ()),
        ("lists", None, ()),
        ("columns", None, ()),
    ],
)
def test_labels_are_integers_of_64_bits_with_names_or_without(name, labels, classes, capsys):
    """A label that is no such integer counts as none, and a network of classes is refused with the reason."""
    settings = Data(name=f"my_data:{name}")
    sources = open_sources(settings)
    data = load(sources, settings, seed=0)
    assert data.classes == classes
    check(sources, settings)
    if labels:
        np.testing.assert_array_equal(data.train_labels[:2], labels)
        return
    assert data.train_labels is None
    with pytest.raises(
        DataError, match=r"examples without a label, and net\.classes = 2 learns from labels, which are integers"
    ):
        data.check_labels(2)
    with pytest.raises(DataError, match="have no labels that are integers; leave it out"):
        open_sources(Data(name=f"my_data:{name}", only=(1,)))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("my_dtaa:rings", ConfigError, "data.name: cannot import 'my_dtaa:rings': No module named 'my_dtaa'; is its folder on"),
        ("my_data:rigns", ConfigError, "data.name: my_data has no function rigns (did you mean rings?)"),
        ("my_data:number", ConfigError, "my_data has no function number (there are Sources, Rings"),
        ("broken_data:rings", ConfigError, "cannot import 'broken_data:rings': ZeroDivisionError"),
        ("my_data:pair", DataError, "returned a tuple: a source returns experiments.data.sources.Sources(train, test)"),
        ("my_data:stream", DataError, "returned a list_iterator as train, which has no len()"),
        ("my_data:broken", DataError, "my_data:broken raised KeyError: 'nothing'"),
        ("my_data:offline", DataError, "my_data:offline raised FileNotFoundError: [Errno 2] No such file"),
        ("my_data:twice", DataError, "my_data:twice: the names of its labels must be strings, each another: ['ring', 'ring']"),
        ("my_data:alike", DataError, r"the names of its labels must be strings, each another: ['a\xa0b', 'a\\xa0b']"),
        ("my_data:three", DataError, "the names of its labels must be strings, each another: 3"),
        ("my_data:remote", DataError, "my_data:remote train: its len() raised RuntimeError: not connected"),
        ("my_data:nothing", DataError, "my_data:nothing train holds no example, and training and evaluation need some"),
        ("my_data:tuples", DataError, "example 0 of my_data:tuples train: it is a tuple, not a dictionary of `image`"),
        ("nowhere", DataError, "no prepared dataset 'nowhere'"),
        ("folder:3.0.1", DataError, "no prepared dataset 'folder:3.0.1'"),  # a version, and no code
    ],
)
def test_what_is_no_source_is_refused_kindly(name, kind, words, capfd, tmp_path):
    settings = Data(name=name, levels=0, data_dir=str(tmp_path))
    with pytest.raises(kind) as error:
        load(open_sources(settings), settings, seed=0)
    assert words in str(error.value)
    assert main(["data", "check", f"--config={MOONS}", f"--config.data.name={name}"]) == kind.exit_code
    message = capfd.readouterr().err
    assert len(message.splitlines()) <= 5
    assert "Traceback" not in message


def test_our_own_are_listed():
    assert {"digits", "folder", "npz", "two_moons"} <= SOURCES.keys()
