"""Events of any number of channels or coordinates through every command that draws a picture."""

import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, run, samples

from experiments.data.sources import Sources
from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")


def of_shape(config):
    """Grey levels or points of the shape that data_dir spells."""
    shape, rng = tuple(map(int, config.data_dir.split("x"))), np.random.default_rng(0)
    draw = lambda: rng.integers(0, 256, shape, np.uint8) if shape[1:] else rng.normal(size=shape).astype(np.float32)
    train, test = ([{"image": draw()} for _ in range(n)] for n in (200, 80))
    return Sources(train, test)


def floats_of_shape(config):
    """Floats far from unit scale, of the shape that data_dir spells: channel c has mean 1000 c and standard deviation 10 c."""
    shape, rng = tuple(map(int, config.data_dir.split("x"))), np.random.default_rng(0)
    c = np.arange(1, shape[-1] + 1)
    draw = lambda: (1000 * c + 10 * c * rng.normal(size=shape)).astype(np.float32)
    return Sources(*([{"x": draw()} for _ in range(n)] for n in (200, 80)))


FEW = [
    *("--config.train.steps=4", "--config.edit.rows=2", "--config.interpolate.pairs=2"),
    "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}",
]


def floats(shape, **others):
    data = {"name": f"{__name__}:floats_of_shape", "data_dir": shape, "levels": 0} | others
    return [f"--config.data={data}", *FEW]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "words", "noun"),
    [
        ("3", "coordinates 1 and 2 of 3, axes from ", "points"),
        ("16x2", "lines from ", "signals"),
        ("6x6x1", "viridis colours from ", "fields"),
        ("6x6x3", "colours from ", "fields"),
        ("3x4x5x2", "the middle slices, channels 1 and 2 as red and green, colours from ", "volumes"),
    ],
)
def test_each_command_takes_floats_of_any_shape_in_their_units(tmp_path, capsys, shape, words, noun):
    for command in ("train", "sample", "edit", "interpolate", "evaluate"):
        assert run(command, tmp_path, *floats(shape, standardise="channel")) == 0
        said = capsys.readouterr().out
        assert (f"shows {words}" in said) == (command in ("train", "sample"))
    c = np.arange(1, int(shape.split("x")[-1]) + 1)
    image = samples(tmp_path, "ancestral_seed0")
    assert image.shape[1:] == tuple(map(int, shape.split("x")))
    numbers = image.reshape(-1, len(c))
    assert (abs(numbers.mean(0) - 1000 * c) < 50 * c).all()  # the noise that it began with, in units of the data
    page = (tmp_path / "report.html").read_text()
    assert f"All pictures show {words}" in page
    assert "(k - mean)/std, those of all training examples: mean " in page
    assert f"of held-out {noun} in their own units" in page
    assert f"from real {noun}" in page


@pytest.mark.parametrize(
    ("shape", "overrides", "says"),
    [
        (
            "16x2",
            ["data.flip=True"],
            "data.flip = True is for images [H, W, C], not for events of shape (16, 2), which have no",
        ),
        (
            "16x2",
            ["net={'name': 'NCSNpp', 'width': 8}"],
            "need an image [H, W, C], not an event of shape (16, 2), which",
        ),
        ("3x4x5x2", ["net={'name': 'DiT', 'width': 12, 'heads': 2}"], "patch 2 needs a volume [D, H, W, C] with D, H and W"),
        ("3x4x5x2", ["net={'name': 'UViT', 'width': 8, 'heads': 2}"], "patch 2 needs an image [H, W, C], not an event of"),
        ("4x4x1", ["data.dequantize=True"], "data.dequantize = True would change nothing: floats (data.levels = 0) have no"),
        ("4x4x1", ["data.levels=256"], "an image is uint8 or uint16 [H, W, C], not float32 (4, 4, 1); floats have data.levels"),
    ],
)
def test_what_does_not_fit_a_shape_is_refused_before_any_compile(tmp_path, capsys, shape, overrides, says):
    assert run("train", tmp_path, *floats(shape), *(f"--config.{words}" for words in overrides)) in (2, 3)
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) <= 5
    assert not (tmp_path / "run.json").exists()


def test_grey_levels_are_not_standardised(tmp_path, capsys):
    assert main(["train", f"--config={DIGITS}", f"--workdir={tmp_path}", "--config.data.standardise=channel"]) == 2
    why = "data.standardise = 'channel' would change nothing: grey levels are scaled as data.range says"
    assert why in capsys.readouterr().err


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
