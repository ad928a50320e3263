"""What is written of a name that is not UTF-8, as a folder from another system has, can be read by everyone."""

import json
import os
import subprocess

import pytest
from pydantic import TypeAdapter
from small_experiments import small_experiment

from experiments.commands.exchange import brief_errors
from experiments.runs.record import read_record, session
from experiments.runtime.errors import StorageError
from experiments.runtime.files import json_text, sweep, write_json, write_text

NAME = "caf\udce9"
"""What Python makes of the bytes caf\\xe9."""


def test_json_has_no_half_characters_and_else_says_the_same(tmp_path):
    """A strict reader refuses half a character, even escaped."""
    for tree in ({"a": ["é × 𝛼", "\\udce9", None, 1.5, float("inf")]}, {"b\n": {}}):
        assert json.loads(json_text(tree)) == tree
    assert TypeAdapter(dict).validate_json(json_text({NAME: [NAME]})) == {r"caf\udce9": [r"caf\udce9"]}
    write_json(tmp_path / "file", {"command": NAME})
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"command": r"caf\udce9"}
    write_text(tmp_path / "file", f"é {NAME}\n")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "é caf\\udce9\n"


def test_a_record_can_be_read_again_whatever_was_typed(tmp_path):
    """And whatever an error says."""
    for _ in range(2):
        with session(tmp_path, small_experiment().config, None, f"evaluate --config={NAME}.py", training=False) as record:
            record.note(reason=f"{NAME}.png is no image")
    again = read_record(tmp_path)
    assert again
    assert [one["command"] for one in again.content["sessions"]] == [r"evaluate --config=caf\udce9.py"] * 2


def test_problems_with_such_a_name_are_listed(tmp_path):
    """More of them than are shown, in a file beside the folder."""
    with pytest.raises(StorageError, match="and 2 more: all are in"), brief_errors(tmp_path / "out"):
        raise StorageError([f"{NAME}.safetensors: ε has no place"] * 6)
    assert (tmp_path / "out.problems.txt").read_text(encoding="utf-8") == "caf\\udce9.safetensors: ε has no place\n" * 6


def test_only_what_nobody_writes_is_swept(tmp_path):
    """A run in training has the lock, and `sample` beside it has none."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    with subprocess.Popen(["sleep", "60"]) as other:
        names = {pid: f".part-{pid}-1-picture.png" for pid in (gone.pid, os.getpid(), other.pid, "x", "9" * 30)}
        for name in names.values():
            (tmp_path / name).touch()
        sweep(tmp_path)
        other.kill()
    assert [path.name for path in tmp_path.iterdir()] == [names[other.pid]]
