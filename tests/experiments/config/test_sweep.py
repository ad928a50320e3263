"""The arms of a sweep: the product of values, from the command line or from a file."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import DIGITS

from experiments.commands.opening import make_plan
from experiments.config.arms import resolve_arms
from experiments.config.reading import read_config
from experiments.config.sweep import split_overrides, swept_arms
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")


def test_an_override_of_several_values_is_split_between_its_outermost_commas():
    words = ["--config.a=1", "--config.b=1e-4,3e-4", "--config.c=(1,2),(2,2)", "--config.d='x,y',z", "--config.e=(1,2)"]
    assert split_overrides(words) == (
        ["--config.a=1", "--config.e=(1,2)"],
        {"b": ["1e-4", "3e-4"], "c": ["(1,2)", "(2,2)"], "d": ["'x,y'", "z"]},
    )


values = st.recursive(st.integers() | st.booleans() | st.text("abc,()[]", max_size=4), lambda inner: st.tuples(inner, inner))


@given(st.lists(values, min_size=2, max_size=4))
def test_any_literals_are_split_where_they_were_joined(literals):
    texts = [repr(literal) for literal in literals]
    assert split_overrides([f"--config.k={','.join(texts)}"]) == ([], {"k": texts})


def changes(arms):
    return {label: arm.changes for label, arm in arms.items()}


def test_the_arms_are_the_product_and_each_is_that_override():
    tree = read_config(DIGITS, [])
    arms = swept_arms(tree, {"train.learning_rate": ["1e-4", "3e-4"], "net.width": (16, 32), "weight": ["edm", "likelihood"]})
    assert [*arms][:2] == ["learning_rate-0.0001_width-16_weight-edm", "learning_rate-0.0001_width-16_weight-likelihood"]
    assert len(arms) == 8
    plan = make_plan(tree | {"arms": changes(arms)}, opening=False)
    chosen = plan.arms["learning_rate-0.0003_width-32_weight-likelihood"]
    words = ["--config.train.learning_rate=3e-4", "--config.net.width=32", "--config.weight=likelihood"]
    by_words = make_plan(read_config(DIGITS, words), opening=False).base
    assert chosen.model_copy(update={"title": ""}) == by_words.model_copy(update={"title": ""})
    assert chosen.title == "learning_rate = 0.0003, width = 32, weight = likelihood"


def test_the_arms_of_a_config_are_swept_each():
    tree = read_config("configs/digits/ddpm_vs_ncsn.py", [])
    before, alone = copy.deepcopy(tree), resolve_arms(tree)
    arms = swept_arms(tree, {"train.steps": ["100", "200"]})
    assert tree == before
    assert [*arms] == [f"{arm}_steps-{n}" for arm in ("ddpm", "ncsn", "subvp") for n in (100, 200)]
    for label, arm in resolve_arms(tree | {"arms": changes(arms)}).items():
        of, _, n = label.partition("_steps-")
        assert arm["train"] == alone[of]["train"] | {"steps": int(n)}
        assert arm["sde"] == alone[of]["sde"]
        assert arm["title"] == f"{alone[of]['title']}, steps = {n}"


@pytest.mark.parametrize(
    ("swept", "says"),
    [
        ({}, "nothing to sweep"),
        ({"train.steps": ["100", "1e2"]}, "100 stands there twice"),
        ({"net": ["MLP", "DiT"], "net.width": [8, 16]}, "sweep one of them"),
        ({"seed": range(2000)}, "2,000 runs"),
        ({"title": ["a", "b"]}, "sweep of title"),
    ],
)
def test_what_is_no_sweep_is_refused(swept, says):
    with pytest.raises(ConfigError, match=says):
        swept_arms(read_config(DIGITS, []), swept)


def test_values_that_no_file_name_tells_apart_have_folders_of_their_own():
    arms = swept_arms(read_config(DIGITS, []), {"data.data_dir": ["a/b", "a-b"]})
    assert len(arms) == 2
    assert len({label.lower() for label in arms}) == 2
