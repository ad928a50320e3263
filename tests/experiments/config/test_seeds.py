"""The training runs of an arm, and the seeds that a config may name."""

import pytest
from runs import MOONS, in_root  # noqa: F401

from experiments.config.arms import arm_problems
from experiments.config.messages import schema_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.seeds import runs_of_arm

pytestmark = pytest.mark.usefixtures("in_root")


def config(**changes):
    tree = read_config(MOONS, [])
    return Config.model_validate(tree | {"train": tree["train"] | changes.pop("train", {})} | changes)


def test_no_seeds_is_the_config_itself():
    """The run has the folder of the arm and its config to the letter, as without the key."""
    alone = config(seed=3)
    assert runs_of_arm("vp", alone) == {"vp": alone}
    assert alone.train.seeds == ()


def test_each_run_is_that_of_an_experiment_with_its_seed():
    """The one from the config's own seed is where it is without seeds, so that it is not trained again for more of them."""
    runs = runs_of_arm("vp", config(seed=1, train={"seeds": (0, 1), "seeds_at_once": 2}))
    assert runs == {"vp_seed_0": config(seed=0, title=runs["vp_seed_0"].title), "vp": config(seed=1)}
    assert runs["vp_seed_0"].title == "VP-SDE on two moons, seed 0"


@pytest.mark.parametrize(
    ("train", "arms", "says"),
    [
        ({"seeds": (0, 1)}, {"a": {}, "b": {}}, []),
        ({}, {"a": {"seed": 1}, "a_seed_1": {}}, []),
        ({"seeds": ()}, {"a": {"seed": 1}, "a_seed_1": {}}, []),
        (
            {"seeds": (0, 1)},
            {"a": {"seed": 1}, "b": {}},
            ["arms.a.seed: train.seeds = (0, 1) are those of every arm; leave it out"],
        ),
        (
            {"seeds": (0, 1)},
            {"a": {}, "a_seed_1": {}},
            ["arms.a_seed_1: the run of arms.a from seed 1 has a folder of this name; take another"],
        ),
        (
            {"seeds": (0, 1)},
            {"a": {"train": {"seeds": (0,)}}},
            ["arms.a: train.seeds must be the same in all arms, or their results would not compare; set it beside arms"],
        ),
        ({"seeds": 7}, {"a": None}, []),
    ],
)
def test_arms_share_their_seeds(train, arms, says):
    assert arm_problems({"title": "T", "seed": 0, "train": train, "arms": arms}) == says


@pytest.mark.parametrize(
    ("seeds", "says"),
    [((1, 0, 1), "1 is there twice"), ((-1,), "greater than or equal to 0"), (("a",), "integer"), (3, "tuple")],
)
def test_seeds_are_numbers_each_another(seeds, says):
    tree = read_config(MOONS, [])
    (line,) = schema_problems(tree | {"train": tree["train"] | {"seeds": seeds}})
    assert line.startswith("train.seeds")
    assert says in line
