"""Every shipped config names its command and its cost, and the same experiment, shrunk, is built and trains for two steps."""

import re
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from shapes import CLASSES, SHAPES
from small_experiments import identity_codec, trains_by_trace

from experiments.commands.opening import build_arms, make_plan
from experiments.config.arms import resolve_arms
from experiments.config.messages import schema_problems
from experiments.config.options import parameters
from experiments.config.parts import NET
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.data.moments import Moments
from experiments.main import main
from experiments.runs.codecs import build_run
from experiments.runs.metrics import rows

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py") if path.name not in ("__init__.py", "base.py")
)
RECIPES = [path for path in FILES if path.parent.name == "cifar10"]
QUICK = ["cifar10/ncsnpp_continuous_ve", "toy2d/moons", "digits/vp", "digits/bridge", "digits/inpainting", "digits/latent"]
"""Configs that differ most; the others are judged and traced among the slow tests."""
marked = lambda paths: [
    pytest.param(path, marks=[] if str(path.with_suffix("")).removeprefix("configs/") in QUICK else [pytest.mark.slow])
    for path in paths
]
named = pytest.mark.parametrize("path", FILES, ids=str)
recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("experiments.runs.codecs._trained", identity_codec)


@cache
def trees(path: Path) -> list[dict]:
    """The shrunk config, or its arms."""
    tree = read_config(f"{path}:tiny", [], {"tiny": tiny})
    return list(resolve_arms(tree).values()) or [tree]


def moments_of(shape: tuple[int, ...]) -> Moments:
    """The moments of data that are standardised already."""
    return Moments((0.0,) * shape[-1], (1.0,) * shape[-1])


@named
def test_a_config_names_its_command(path):
    text = (ROOT / path).read_text()
    assert f"--config={path}" in text.split('"""')[1]


@pytest.mark.parametrize("path", marked(path for path in FILES if path not in RECIPES), ids=str)
def test_a_config_is_accepted_as_it_is_shipped(path):
    """With every arm, by all that is checked before a compile. For the recipes, which are wide, their shrunk ones stand."""
    tree = read_config(str(path), [])
    shape, names = SHAPES[tree["data"]["name"]], CLASSES.get(tree["data"]["name"], ())
    assert build_arms(make_plan(tree, opening=False).arms, shape, True, names, moments_of(shape))


@recipe
def test_a_recipe_says_what_it_costs_and_what_to_expect(path):
    text = path.read_text().split('"""')[1]
    assert re.search(r"^Cost: .*(.|\n)*TFLOP a step", text, re.MULTILINE)
    assert re.search(r"^Published: .{20}", text, re.MULTILINE)


def test_the_table_of_recipes_names_each_of_them():
    table = (ROOT / "configs/cifar10/base.py").read_text().partition("Any of them")[0]
    assert sorted(re.findall(r"\b(?:ddpm|ncsn|vdm|kl_f|latent)\w*", table)) == [path.stem for path in RECIPES]


@recipe
def test_a_network_of_data_in_0_1_centres_it(path):
    """score_sde's networks see 2x - 1 of such data, and of centred data what it is."""
    tree = read_config(str(path), [])
    taken = parameters(NET.find(tree["net"]["name"]))
    centres = tree["net"].get("centre_input", taken["centre_input"].default if "centre_input" in taken else False)
    assert centres == (tree["data"].get("range") == "unit")


@recipe
def test_a_recipe_differs_from_every_other(path):
    """No two files describe one experiment."""
    whole = [runpy.run_path(str(other))["get_config"]().to_dict() for other in RECIPES]
    for tree in whole:
        tree.pop("title")
    assert whole.count(whole[RECIPES.index(path)]) == 1


@pytest.mark.parametrize("path", marked(path for path in FILES if path.stem not in ("objectives", "ddpm_vs_ncsn")), ids=str)
def test_a_shrunk_config_trains_by_trace(path, tmp_path):
    """Judged, built, and two steps of training traced: a state of the same shapes.

    Of configs whose arms differ in losses alone tests/configs/test_objective_configs.py trains each.
    """
    for tree in trees(path):
        assert not schema_problems(tree) + part_problems(tree)
        config = Config.model_validate(tree)
        shape = SHAPES[config.data.name]
        trains_by_trace(build_run(config, shape, CLASSES.get(config.data.name, ()), moments_of(shape), tmp_path))


@pytest.mark.slow
@recipe
def test_a_shrunk_recipe_trains(path, tmp_path):
    """Two steps by the command line, a picture of samples, and a loss that is a number."""
    short = ("--config.train.steps=2", "--config.train.log_every=1", "--config.train.sample_every=2", "--config.train.batch=8")
    assert main(["train", f"--config={path}:tiny", f"--workdir={tmp_path}", *short]) == 0
    assert (tmp_path / "samples" / "step_0000002.png").exists()
    assert all(np.isfinite(row["loss"]) for row in rows(tmp_path / "metrics.jsonl"))


@pytest.mark.slow
@recipe
def test_a_recipe_is_built_at_its_own_size(path, tmp_path):
    """On 32 x 32 x 3, with its own grids and samplers: nothing is refused."""
    tree = read_config(str(path), [])
    assert not schema_problems(tree) + part_problems(tree)
    build_run(Config.model_validate(tree), (32, 32, 3), (), None, tmp_path)


def test_there_is_no_other_variant(capsys, tmp_path):
    assert main(["train", "--config=configs/cifar10/ddpm.py:tinny", f"--workdir={tmp_path}"]) == 2
    assert "no such variant (did you mean tiny?)" in capsys.readouterr().err
