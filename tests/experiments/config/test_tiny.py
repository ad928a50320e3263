"""Any config that is right, shrunk, is right; and the shrunk arms are the arms, shrunk."""

import pytest
from runs import DIGITS, MOONS

from experiments.build.checks import combination_problems
from experiments.config.arms import resolve_arms
from experiments.config.problems import every_problem
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny

pytestmark = pytest.mark.usefixtures("in_root")

PARTIAL = (
    "--config.arms={'narrow': {'net': {'width': 8}}, 'other': {'net': 'MLP', 'seed': 1},"
    " 'few': {'samplers': {'fast': {'n': 8, 'sweep': {'n': (2, 9)}}}, 'train': {'batch': 32}, 'sample': {'n': 9}}}"
)


@pytest.mark.parametrize(
    ("file", "overrides"),
    [
        (DIGITS, ()),
        (MOONS, ()),
        (DIGITS, (PARTIAL,)),
        ("configs/digits/ddpm_vs_ncsn.py", ()),
        ("configs/mnist/ddpm_vs_ncsn.py", ()),
        (
            "configs/cifar10/ncsnpp_continuous_ve.py",
            ("--config.evaluate.features=inception", "--config.evaluate.inception=w.pth"),
        ),
        ("configs/cifar10/ncsnpp_continuous_ve.py", ("--config.evaluate.statistics=s", "--config.evaluate.inception=w.pth")),
        ("configs/cifar10/ddpmpp_scoreflow_vp.py", ("--config.evaluate.dequantizer=variational",)),
        (DIGITS, ("--config.evaluate.neighbours=20", "--config.data.name=folder", "--config.data.only=('cat','dog')")),
        (DIGITS, ("--config.data.name=folder", "--config.data.size=(64,48)", "--config.data.crop=random")),
        (DIGITS, ("--config.conditions.image={'name': 'low_resolution', 'factor': 16}", "--config.sample.like=(600,)")),
        (DIGITS, ("--config.conditions.tokens=captions", "--config.sample.caption=a three")),
        (DIGITS, ("--config.net.classes=10", "--config.sample.label=cat")),
        (DIGITS, ("--config.net.classes=10", "--config.sample.label=7")),
    ],
)
def test_what_is_right_is_right_when_it_is_shrunk(file, overrides):
    tree = read_config(file, list(overrides))
    shrunk = tiny(tree)
    assert resolve_arms(shrunk) == {name: tiny(arm) for name, arm in resolve_arms(tree).items()}
    assert {name: set(arm) for name, arm in shrunk.get("arms", {}).items()} == {
        name: set(arm) for name, arm in tree.get("arms", {}).items()
    }
    assert every_problem(shrunk) == []
    for each in resolve_arms(shrunk).values() or [shrunk]:
        digits = tuple(map(str, range(10))) if each["data"]["name"] == "digits" else ()
        assert combination_problems(Config.model_validate(each), digits) == []


def test_a_sampler_may_be_labelled_name():
    """It is no name of a part, which would replace all samplers."""
    tree = read_config(DIGITS, ["--config.arms={'a': {'samplers': {'name': {'n': 9}}}}"])
    tree["samplers"]["name"] = tree["samplers"]["fast"] | {"sweep": {}}
    (arm,) = resolve_arms(tree).values()
    assert arm["samplers"] == tree["samplers"] | {"name": tree["samplers"]["name"] | {"n": 9}}
    assert resolve_arms(tiny(tree)) == {"a": tiny(arm)}
