"""Events of any number of channels or coordinates through every command that draws a picture."""

import numpy as np
import pytest
from PIL import Image
from runs import run

from experiments.data.sources import Sources

pytestmark = pytest.mark.usefixtures("in_root")


def of_shape(config):
    """Grey levels or points of the shape that data_dir spells."""
    shape, rng = tuple(map(int, config.data_dir.split("x"))), np.random.default_rng(0)
    draw = lambda: rng.integers(0, 256, shape, np.uint8) if shape[1:] else rng.normal(size=shape).astype(np.float32)
    train, test = ([{"image": draw()} for _ in range(n)] for n in (200, 80))
    return Sources(train, test)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("2x2x2", "channels 1 and 2 as red and green"),
        ("2x2x4", "channels 1 to 3 of 4 as red, green and blue"),
        ("2x2x5", "channels 1 to 3 of 5 as red, green and blue"),
        ("1", ""),
        ("3", "coordinates 1 and 2 of 3"),
    ],
)
def test_each_command_shows_what_can_be_shown_and_says_what_it_shows(tmp_path, capsys, shape, words):
    """Five channels ended training at its first picture, and at every one of its resumes."""
    levels = 256 if "x" in shape else 0
    ours = [f"--config.data={{'name': '{__name__}:of_shape', 'data_dir': '{shape}', 'levels': {levels}}}"]
    ours += ["--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"]
    ours += ["--config.train.steps=4", "--config.edit.rows=2", "--config.interpolate.pairs=2"]
    for command in ("train", "sample", "edit", "interpolate", "evaluate"):
        assert run(command, tmp_path, *ours) == 0
        said = capsys.readouterr().out
        assert (f"shows {words}" in said) == bool(words and command in ("train", "sample"))
    assert (f"All pictures show {words}." in (tmp_path / "report.html").read_text()) == bool(words)
    pictures = [path for path in tmp_path.rglob("*.png") if {"samples", "sheets"} & {*path.parts, path.stem}]
    assert len(pictures) == 4
    assert all(Image.open(path).mode in ("RGB", "RGBA") for path in pictures)
