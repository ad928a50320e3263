"""Samples given conditions: where these come from, guidance by each of them, and what stands beside the samples."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, drawn
from small_experiments import ONE_SAMPLER

import experiments
from experiments.build.build import build
from experiments.build.sampler import BoundSampler, Rows
from experiments.conditions.text import text_of
from experiments.config.guidance import Guide
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.randomness import Purpose, streams
from experiments.runtime.errors import ConfigError
from experiments.sampling.beside import beside
from models.conditions import by_name

pytestmark = pytest.mark.usefixtures("in_root")

NET = "net={'name': 'DDPM', 'width': 8, 'multipliers': (1,), 'blocks': 1, 'attention': (8,), 'dropout': 0.0}"
IMAGE = "conditions.image={'name': 'low_resolution', 'dropout': 0.1}"
TEXT = "conditions.tokens={'name': 'captions', 'dropout': 0.1}"
LABEL = "net.classes=10", "train.label_dropout=0.1"
NAMES = tuple(map(str, range(10)))
X, T = jnp.full((8, 8, 1), 0.3), 0.5


@cache
def held_out(n=12):
    rng = np.random.default_rng(0)
    return Batch(rng.integers(0, 17, (n, 8, 8, 1)).astype(np.uint8), rng.integers(0, 10, n).astype(np.int32))


def bound(*words):
    """The sampler of the digits with a narrow network, on some held-out examples if it needs any."""
    words = (*words, "sample.sampler=ancestral")
    tree = read_config(DIGITS, [ONE_SAMPLER, *(f"--config.{word}" for word in words)])
    config = Config.model_validate(tree)
    experiment = build(config, (8, 8, 1), NAMES)
    examples = held_out() if experiment.classes else held_out()._replace(y=None)
    experiment = experiment._replace(held_out=examples if config.conditions.image else None)
    return BoundSampler(experiment, config.samplers["ancestral"])


def conditions(sampler, n, seed=0):
    return jax.vmap(sampler.conditions, (None, 0))(None, sampler.rows(seed, n))


def test_images_come_from_held_out_examples_in_turn():
    sampler = bound(NET, IMAGE)
    image = conditions(sampler, 20)["image"]
    x = sampler.experiment.scaler.place(held_out().levels, 0.5)
    means = x.reshape(12, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(image[:12, ::2, ::2, 0], means, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(image[12:], image[:8])
    of_two = conditions(bound(NET, IMAGE, "sample.like=(7, 2)"), 4)["image"]
    np.testing.assert_array_equal(of_two, image[np.array([7, 2, 7, 2])])


@pytest.mark.slow
def test_the_label_of_a_sample_is_that_of_its_example():
    """Unless `sample.label` says another; and its caption is of the same class."""
    sampler = bound(NET, IMAGE, TEXT, *LABEL)
    y = conditions(sampler, 12)
    np.testing.assert_array_equal(y["label"], held_out().y)
    np.testing.assert_array_equal(sampler.labels(12), held_out().y)
    np.testing.assert_array_equal(y["tokens"][0], sampler.experiment.tokens(text_of(np.asarray(y["tokens"][0]))))
    three = conditions(bound(NET, IMAGE, TEXT, *LABEL, "sample.label=3"), 2)
    assert three["label"].tolist() == [3, 3]
    assert text_of(np.asarray(three["tokens"][1])) == "a handwritten three"


def test_captions_are_of_each_class_or_of_one_text():
    """Of a network that takes no labels."""
    sampler = bound(NET, TEXT)
    texts = [text_of(tokens) for tokens in np.asarray(conditions(sampler, 11)["tokens"])]
    assert (texts[3], texts[10]) == ("a handwritten three", "a handwritten zero")
    of_one = conditions(bound(NET, TEXT, "sample.caption=a loud seven"), 2)["tokens"]
    assert text_of(np.asarray(of_one[1])) == "a loud seven"
    assert "tokens" not in conditions(bound(NET, TEXT, "sample.label=None"), 2)


@pytest.mark.slow
def test_what_is_drawn_at_random_depends_on_the_seed_and_the_number_alone():
    """As masks are: of n samples and of fewer, and another for another seed."""
    sampler = bound(NET, "conditions.image={'name': 'mask', 'dropout': 0.1}")
    few, many, other = (conditions(sampler, n, seed)["image"] for n, seed in ((3, 0), (6, 0), (3, 1)))
    np.testing.assert_array_equal(few, many[:3])
    assert (few != other).any()
    direct = sampler.conditions(None, Rows(streams(0, Purpose.SAMPLE, 6)[2], None, held_out().levels[2]))["image"]
    np.testing.assert_array_equal(direct, many[2])


VALUES = {"label": 1.0, "image": 10.0, "tokens": 100.0}


def counting(sampler):
    """The sampler of a network whose score is the sum of the `VALUES` of the conditions that it gets."""

    def apply(params, x, t, y=None, key=None):
        there = {name for name, each in by_name(y).items() if each is not None}
        return jnp.full_like(x, sum(value for name, value in VALUES.items() if name in there))

    return sampler._replace(experiment=sampler.experiment._replace(model=sampler.experiment.model._replace(apply=apply)))


GUIDED = {(): 111.0, ("label",): 1.0, ("image",): 10.0, ("image", "tokens"): 110.0}


@pytest.mark.parametrize("drop", GUIDED)
def test_guidance_goes_to_the_conditions_that_it_drops(drop):
    """s_u + w (s_c - s_u) with s_u without them and with the others: 111 + (w - 1) times what they are worth."""
    guidance = {"name": "classifier_free", "w": 3.0, "drop": drop}
    sampler = counting(bound(NET, IMAGE, TEXT, *LABEL, f"samplers.ancestral.guidance={guidance}"))
    y = dict.fromkeys(VALUES, 0)
    np.testing.assert_allclose(sampler.reverse(None, y).score(X, T), 111.0 + 2 * GUIDED[drop], rtol=1e-6)


def test_guidance_goes_to_what_training_drops():
    """Where no name is given; a condition that is always there stays."""
    words = "conditions.image=low_resolution", "samplers.ancestral.guidance={'name': 'classifier_free', 'w': 3.0}"
    sampler = counting(bound(NET, *LABEL, *words))
    np.testing.assert_allclose(sampler.reverse(None, {"label": 0, "image": 0}).score(X, T), 11.0 + 2 * 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="goes to a class"):
        sampler.reverse(None, {"image": 0})


def guided_by(name, guide):
    """The guided score of a network that hears a label and an image, given both, by another run."""
    words = f"samplers.ancestral.guidance={{'name': '{name}', 'run': 'r', 'w': 2.0}}"
    sampler = counting(bound(NET, IMAGE, *LABEL, words))
    sampler = sampler._replace(experiment=sampler.experiment._replace(guides={"r": guide}))
    return sampler.reverse(None, {"label": 4, "image": 0}).score(X, T)


def test_a_classifier_s_label_alone_is_dropped():
    """The score without it is still that given the image."""
    guide = Guide(10, log_prob=lambda params, x, t: -jnp.arange(10.0) * jnp.sum(x))
    np.testing.assert_allclose(guided_by("classifier", guide), 10.0 - 2 * 4, rtol=1e-6)


def test_a_weaker_run_gets_all_conditions():
    guide = Guide(0, score=lambda params, y: lambda x, t: jnp.full_like(x, 50.0 * len(y)))
    np.testing.assert_allclose(guided_by("autoguidance", guide), 100.0 + 2 * (11.0 - 100.0), rtol=1e-6)


def test_what_stands_beside_samples():
    """The coarse images as levels, over the range of the data, and the captions; no more than asked for."""
    sampler = bound(NET, IMAGE, TEXT)
    levels, captions = beside(sampler)(None, sampler.rows(0, 12), 5)
    assert levels.shape == (5, 8, 8, 1)
    blocks = held_out().levels[:5].astype(float).reshape(5, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(levels[:, ::2, ::2, 0], blocks, atol=0.51)
    assert [caption.split()[-1] for caption in captions] == [
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][y] for y in held_out().y[:5]
    ]


WORDS = (
    *("train.batch=16", "train.steps=2", "train.warm_up=1", "train.decay=constant", "train.sample_every=2"),
    *("sample.sampler=ancestral", "sample.n=8", "evaluate.n=16", "evaluate.seeds=1", "evaluate.batch=16"),
    *("evaluate.likelihood=8", "evaluate.noise_levels=3", "evaluate.features=pixels", "evaluate.bound_times=2"),
    *("evaluate.tolerance=0.1",),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that hears an image, a text and a label, trained for two steps."""
    path = tmp_path_factory.mktemp("conditions") / "run"
    words = [f"--config.{word}" for word in (NET, IMAGE, TEXT, *LABEL, *WORDS)]
    assert main(["train", f"--config={DIGITS}", f"--workdir={path}", ONE_SAMPLER, *words]) == 0
    return path


@pytest.mark.slow
def test_the_command_draws_and_evaluates_given_conditions(folder):
    assert (folder / "samples" / "step_0000002.png").exists()

    def sheet(*words):
        """The picture of the samples, the coarse images at their left, and their captions."""
        assert main(["sample", str(folder), *words]) == 0
        path = drawn(folder / "samples", "ancestral_seed0")
        with np.load(path.with_suffix(".npz")) as arrays:
            assert arrays["image"].shape == (8, 8, 8, 1)
            return np.asarray(Image.open(path)), arrays["caption"].tolist()

    picture, captions = sheet()
    assert picture.shape[1] == 4 * (8 * 17 - 1)  # eight pairs of 8 pixels in a row, and lines between them
    assert len({*captions}) > 3
    assert sheet("--config.sample.caption=a loud seven")[1] == ["a loud seven"] * 8
    other, of_one = sheet("--config.sample.like=(3,)")
    assert (other[:32, :32] != picture[:32, :32]).any()
    assert len({*of_one}) == 1
    assert main(["sample", str(folder), "--config.sample.label=None"]) == 0
    assert main(["evaluate", str(folder)]) == 0
    assert (folder / "report.html").exists()
    assert main(["edit", str(folder), "--config.edit.rows=2", "--config.edit.by.name=inpaint"]) == 0
    assert main(["interpolate", str(folder), "--config.interpolate.pairs=1"]) == 0


@pytest.mark.slow
def test_python_takes_conditions(folder):
    """By name, each for all samples or one for each, in the place of those of held-out examples."""
    run = experiments.open_run(folder)
    image = np.zeros((8, 8, 1), np.float32)
    one = run.sample(0, n=4, y={"image": image, "tokens": "a handwritten three", "label": "3"})
    each = run.sample(0, n=4, y={"image": np.stack([image] * 4), "tokens": "a handwritten three"}, label=3)
    np.testing.assert_array_equal(one.levels, each.levels)
    np.testing.assert_array_equal(one.beside.levels, 8)
    assert one.beside.captions == ("a handwritten three",) * 4
    assert (run.sample(0, n=4).levels != one.levels).any()
    x = jnp.zeros((8, 8, 1))
    y = {"image": image, "tokens": "a handwritten three", "label": "3"}
    arrays = y | {"tokens": run.experiment.tokens(y["tokens"]), "label": 3}
    np.testing.assert_array_equal(run.score(x, 0.5, y), run.experiment.score(run.params, y=arrays)(x, 0.5))
    with pytest.raises(ValueError, match="the network hears no 'imag' \\(did you mean image\\?\\)"):
        run.score(x, 0.5, {"imag": image})
    with pytest.raises(ConfigError, match="y: image is of shape \\(4, 4, 1\\), and must be \\(8, 8, 1\\)"):
        run.sample(0, n=4, y={"image": image[:4, :4]})


@pytest.mark.slow
def test_a_run_that_resumes_repeats_the_bits_of_one_that_did_not(tmp_path):
    words = [f"--config.{word}" for word in (NET, TEXT, "conditions.image={'name': 'mask', 'dropout': 0.25}", *WORDS[:4])]
    words += ["--config.sample.sampler=ancestral", "--config.train.checkpoint_every=2"]
    train = lambda folder, steps: main(
        ["train", f"--config={DIGITS}", f"--workdir={folder}", ONE_SAMPLER, *words, f"--config.train.steps={steps}"]
    )
    assert train(tmp_path / "whole", 4) == train(tmp_path / "parts", 2) == train(tmp_path / "parts", 4) == 0
    whole, parts = (experiments.open_run(tmp_path / name).params for name in ("whole", "parts"))
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
