"""~ is the home folder in every path that a config or an option names."""

from types import SimpleNamespace

import pytest
from PIL import Image
from runs import DIGITS

from experiments.config.reading import read_config
from experiments.config.schema import Data, Evaluate, Lora
from experiments.data.sources import open_sources
from experiments.evaluation import inception_weights, reference
from experiments.main import main
from experiments.runs import guides, lora_base
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """A home folder with a config, weights and a run that are none, and one image of two that can be read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "base").mkdir()
    for file in ("base/config.json", "weights.pth", "images/b.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x")
    Image.new("L", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "mine.py").write_text("from configs.digits.vp import get_config")


def test_a_config_file_and_a_folder_of_images_and_the_list_of_bad_ones(tmp_path):
    assert read_config("~/mine.py", []) == read_config(DIGITS, [])
    folder = "--config.data.name=folder", "--config.data.data_dir=~/images", "--config.evaluate.features=pixels"
    assert main(["data", "check", "--config=~/mine.py", *folder, "--listing=~/bad.txt"]) == 3
    assert "b.png" in (tmp_path / "bad.txt").read_text()
    assert len(open_sources(Data(name="folder", data_dir="~/images")).test) == 1


def test_weights_and_runs(tmp_path):
    """Each is found, and then refused for what it is."""
    with pytest.raises(ConfigError, match=r"evaluate\.inception: .*weights\.pth is no"):
        inception_weights.load("~/weights.pth")
    experiment = SimpleNamespace(config=SimpleNamespace(lora=Lora(run="~/base"), model_dump=dict))
    with pytest.raises(ConfigError, match=rf"{tmp_path}/base/config\.json is not a config in JSON"):
        lora_base.with_base(experiment, tmp_path)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=rf"{tmp_path}/base/config\.json is not a config in JSON"):
        guides._guide("~/base", experiment, tmp_path)  # pyright: ignore[reportArgumentType]


def test_the_folder_of_statistics(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "stored_statistics", lambda folder, *_: pytest.fail(str(folder)))
    data = SimpleNamespace(train=range(9), test=range(9), shape=(8, 8, 1), digest="")
    config = SimpleNamespace(evaluate=Evaluate(statistics="~/there"), data=SimpleNamespace(levels=17, validation=""))
    space = SimpleNamespace(noun="images", extractor="", input="", logits=lambda x: x)
    with pytest.raises(pytest.fail.Exception, match=f"^{tmp_path}/there$"):
        reference.Reference.of(config, data, space, tmp_path)  # pyright: ignore[reportArgumentType]
