"""The arms of a config: their trees, what reports call them, and the names that are taken."""

import pytest

from experiments.config.arms import arm_problems, resolve_arms


def tree(**arms):
    return {"title": "DDPM", "seed": 0, "arms": arms}


def test_an_arm_without_a_title_is_called_by_its_name():
    """And the others by theirs: a report of arms that all had the common title told none from another."""
    arms = resolve_arms(tree(narrow={"seed": 1}, wide={"title": "twice as wide"}, empty={"title": ""}))
    assert {name: arm["title"] for name, arm in arms.items()} == {"narrow": "narrow", "wide": "twice as wide", "empty": "empty"}
    assert arms["narrow"]["seed"] == 1
    assert arm_problems(tree(narrow={}, wide={"title": "twice as wide"})) == []


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ({"a": {"title": "X"}, "b": {"title": "X"}}, "arms.b.title = 'X' is what arms.a is called in reports; take another"),
        ({"a": {}, "b": {"title": "a"}}, "arms.b.title = 'a' is what arms.a is called in reports; take another"),
        ({"a": {"title": "real"}}, "arms.a.title = 'real' is what a set of real examples is called in reports; take another"),
        ({"real": {}}, "arms.real.title = 'real' is what a set of real examples is called in reports; take another"),
    ],
)
def test_no_two_arms_are_called_alike(arms, says):
    assert arm_problems(tree(**arms)) == [says]


@pytest.mark.parametrize(
    "name", ["report.html", "Report.JSON", "run.json", "quality.png", "tables", "sheets", "LOCK", "statistics"]
)
def test_an_arm_has_not_the_name_of_a_file_of_the_comparison(name):
    (line,) = arm_problems(tree(**{name: {}}))
    assert line == f"arms.{name}: a comparison has a file or a folder of its own by this name; take another"


@pytest.mark.parametrize(("likelihood", "fits"), [(0, True), (16, False), ("all", False)])
def test_an_arm_may_leave_the_likelihood_out(likelihood, fits):
    """An arm without a density has to. No arm measures the likelihood on another number of examples."""
    arm = {"evaluate": {"likelihood": likelihood}}
    problems = arm_problems({"title": "DDPM", "evaluate": {"likelihood": 8}, "arms": {"a": arm}})
    why = "arms.a: evaluate.likelihood must be the same in all arms, or their results would not compare; set it beside arms"
    assert problems == ([] if fits else [why])


@pytest.mark.parametrize("arms", [{"a": None}, {"a": {"title": {"of": 1}}}, {"a": {"title": 3}, "b": {"title": 3}}, 7, None])
def test_what_the_schema_refuses_is_no_error_here(arms):
    assert arm_problems({"title": "DDPM", "arms": arms}) == []
