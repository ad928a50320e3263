"""The reference of config keys."""

import copy
import re
from functools import cache

import pytest
from runs import MOONS
from source_files import ROOT

from experiments.config.keys import LABEL, keys
from experiments.config.messages import schema_problems
from experiments.config.reading import read_config
from experiments.main import main

LORA = {"run": "runs/base", "rank": 4}
BOUNDS = {"[": (True, -1), "]": (True, 1), "(": (False, -1), ")": (False, 1)}


@cache
def tree():
    """A config with every section."""
    whole = read_config(str(ROOT / MOONS), [])
    whole["samplers"] = {LABEL: next(iter(whole["samplers"].values()))}
    return whole | {"lora": LORA}


def refused(path, value):
    """Returns whether the schema refuses the value at that key."""
    changed = copy.deepcopy(tree())
    *above, leaf = path.split(".")
    node = changed
    for name in above:
        node = node.setdefault(name, {})
    node[leaf] = value
    return any(line.startswith(f"{path} =") or f"{leaf} = " in line for line in schema_problems(changed))


def test_every_key_is_there_with_its_meaning():
    """A config with every section has no other key, and the words say more than the name."""
    every = {key.path: key for key in keys()}
    assert {f"train.{name}" for name in tree()["train"]} <= every.keys()
    assert {f"samplers.{LABEL}.{name}" for name in tree()["samplers"][LABEL]} <= every.keys()
    assert len(every) == len(keys()) > 70
    for key in every.values():
        assert len(key.meaning) > 6, key
        assert not re.search(r"`\w+`:", key.meaning), key


@pytest.mark.parametrize("key", [key for key in keys() if key.range], ids=lambda key: key.path)
def test_a_range_is_what_the_schema_takes(key):
    """Closed ends are taken and open ones refused, and so is what lies beyond."""
    left, low, high, right = re.fullmatch(r"([\[(])(.*), (.*)([\])])", key.range).groups()
    kind = int if key.type.startswith("int") else float
    for bracket, end in ((left, low), (right, high)):
        taken, outwards = BOUNDS[bracket]
        end = kind(float(end.replace("2^31", str(2**31))))
        assert refused(key.path, end) != (taken and not (key.path == "data.levels" and end == 1))
        assert refused(key.path, end + outwards * (1 if kind is int else abs(end) + 1))


@pytest.mark.parametrize(("prefix", "first", "n"), [("train", "train: section", 20), ("train.steps", "train.steps: int", 1)])
def test_the_command_prints_a_part(prefix, first, n, capsys):
    assert main(["keys", prefix]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert lines[0].startswith(first)
    assert len(lines) >= n
    assert all(line.startswith(prefix) for line in lines)


def test_a_key_that_is_not_there_has_a_neighbour(capsys):
    assert main(["keys", "--config.train.stepz".removeprefix("--")]) == 2
    assert "no key 'train.stepz' (did you mean train.steps?)" in capsys.readouterr().err
