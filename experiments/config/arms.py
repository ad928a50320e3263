"""The arms of a config: experiments that differ by a few keys and are compared."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.config.tree import flatten

MISSING = object()
TAKEN = re.compile(r"tables|sheets|statistics|lock|.*\.(html|json|png|gif)", re.IGNORECASE)
"""The names that a comparison has files and folders by, beside the folders of its arms."""


def resolve_arms(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the tree of each arm: the base with the arm's changes. A section with a `name` replaces the whole section.

    The title of an arm, by which reports call it, is its own one or else its name.
    """
    base = {key: value for key, value in tree.items() if key != "arms"}
    changed = tree.get("arms")
    if not isinstance(changed, dict):  # no arms, or a value that the schema refuses
        return {}
    own = {name: changes if isinstance(changes, dict) else {} for name, changes in changed.items()}
    return {name: overlay(base, changes | {"title": changes.get("title") or name}) for name, changes in own.items()}


def arm_problems(tree: dict[str, Any]) -> list[str]:
    """Returns a line for every name or title that is taken, and for every change that arms may not make.

    All must be evaluated alike, on the same data; but an arm that has no likelihood leaves that out.
    """
    own, alike, left_out = ("data.range", "data.flip"), ("evaluate.", "data.", "train.seeds"), ("evaluate.likelihood", 0)
    arms, base = tree.get("arms"), flatten(tree)
    nested = [
        f"arms.{name}.arms: an arm has no arms of its own"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())
        if isinstance(changes, dict) and "arms" in changes
    ]
    return [*_taken(tree), *_of_seeds(tree), *nested] + [
        f"arms.{name}: {key} must be the same in all arms, or their results would not compare; set it beside arms"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())  # the schema refuses anything else
        if isinstance(changes, dict)
        for key, value in flatten(changes).items()
        if key.startswith(alike) and key not in own and (key, value) != left_out and base.get(key, MISSING) != value
    ]


def _taken(tree: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each arm that would share its folder or its place in a table with something else."""
    called = {"real": "a set of real examples"}
    for name, arm in resolve_arms(tree).items():
        if TAKEN.fullmatch(str(name)):
            yield f"arms.{name}: a comparison has a file or a folder of its own by this name; take another"
        if isinstance(title := arm["title"], str) and (other := called.setdefault(title, f"arms.{name}")) != f"arms.{name}":
            yield f"arms.{name}.title = {title!r} is what {other} is called in reports; take another"


def _of_seeds(tree: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each arm with a seed of its own beside `train.seeds`, or with the name of another arm's run."""
    train = tree.get("train")
    seeds = train.get("seeds") if isinstance(train, dict) else ()
    seeds = [seed for seed in seeds if type(seed) is int and 0 <= seed < 2**31] if isinstance(seeds, tuple | list) else []
    if not seeds:  # or what the schema refuses
        return
    arms = resolve_arms(tree)
    for name in arms:
        changes = tree["arms"][name]
        if isinstance(changes, dict) and "seed" in changes:
            yield f"arms.{name}.seed: train.seeds = {tuple(seeds)} are those of every arm; leave it out"
        for seed in seeds:
            if (other := run_name(name, seed)) in arms:
                yield f"arms.{other}: the run of arms.{name} from seed {seed} has a folder of this name; take another"


def run_name(arm: str, seed: int) -> str:
    """Returns the name of the folder of an arm's run from a seed that is not the config's own."""
    return f"{arm}_seed_{seed}"


def idle_overrides(tree: dict[str, Any], keys: Iterable[str]) -> list[str]:
    """Returns a line for each of these keys that would change nothing, because every arm replaces its value by one of its own.

    The title is also that of the report of all.
    """
    arms = tree.get("arms")
    if not isinstance(arms, dict) or not arms:
        return []
    idle = [key for key in keys if key != "title" and all(_replaces(changes, key) for changes in arms.values())]
    where = f"with NAME {' or '.join(map(str, arms))}"
    return [
        f"--config.{key} would change nothing: every arm has its own; write --config.arms.NAME.{key}, {where}" for key in idle
    ]


def _replaces(changes: Any, key: str) -> bool:
    """Returns whether an arm's changes leave nothing of what is under that key beside the arms."""
    for part in key.split("."):
        if not isinstance(changes, dict) or part not in changes:
            return False
        changes = changes[part]
        if not isinstance(changes, dict) or names_part(changes):
            return True
    return False


def names_part(section: dict[str, Any]) -> bool:
    """Returns whether a section is of a part, which its `name` names; a sampler may have that label, too."""
    return isinstance(section.get("name"), str)


def overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the base with the changes. A section that has a `name` replaces the whole section; any other changes its keys."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        below = merged.get(key)
        if not isinstance(value, dict) or names_part(value) or not isinstance(below, dict | str):
            merged[key] = copy.deepcopy(value)
        else:
            merged[key] = overlay({"name": below} if isinstance(below, str) else below, value)
    return merged
