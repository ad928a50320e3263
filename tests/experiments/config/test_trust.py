"""A config that is data runs no code of others: such parts are refused, and callbacks are not called."""

import pytest

from experiments.config.trust import forget_callbacks, require_trusted
from experiments.runtime.errors import ConfigError


@pytest.mark.parametrize(
    "section", [{"optimizer": "os:system"}, {"optimizer": {"name": "os:system"}}, {"schedule": "os:system"}]
)
@pytest.mark.parametrize("place", [lambda train: {"train": train}, lambda train: {"arms": {"a": {"train": train}}}])
def test_code_that_trains_is_named_by_the_user_or_refused(section, place):
    tree = place(section)
    with pytest.raises(ConfigError, match="code that is not OneSDE's"):
        require_trusted(tree, [], "x")
    assert require_trusted(tree, ["--config.train.optimizer.name=os:system"], "x") is tree


@pytest.mark.parametrize("kind", ["vector", "image", "tokens"])
@pytest.mark.parametrize("part", ["os:system", {"name": "os:system"}])
def test_code_that_makes_conditions_is_named_by_the_user_or_refused(kind, part):
    tree = {"conditions": {kind: part}}
    with pytest.raises(ConfigError, match="code that is not OneSDE's"):
        require_trusted(tree, [], "x")
    assert require_trusted(tree, [f"--config.conditions.{kind}=os:system"], "x") is tree


def test_a_discriminator_is_named_by_the_user_or_refused():
    tree = {"codec": {"adversarial": {"net": {"name": "os:system"}}}}
    with pytest.raises(ConfigError, match="code that is not OneSDE's"):
        require_trusted(tree, [], "x")
    assert require_trusted(tree, ["--config.codec.adversarial.net=os:system"], "x") is tree


def test_callbacks_are_those_that_the_user_names():
    tree = lambda: {
        "train": {"steps": 1, "callbacks": ("os:system",)},
        "arms": {"a": {"train": {"callbacks": ("os:abort",)}}, "b": 3},
    }
    forget_callbacks(data := tree(), [])
    assert data == {"train": {"steps": 1}, "arms": {"a": {"train": {}}, "b": 3}}
    forget_callbacks(data := tree(), ["--config.arms.a.train.callbacks=os:abort"])
    assert data == {"train": {"steps": 1}, "arms": {"a": {"train": {"callbacks": ("os:abort",)}}, "b": 3}}
