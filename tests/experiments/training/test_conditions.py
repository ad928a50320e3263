"""Conditions in training: of what the network sees, each left out as often as asked, and no other draw changes."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import DIGITS, MOONS
from slow import slow_for
from small_experiments import ONE_SAMPLER

from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state, placement
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError
from experiments.training.step import example_loss, make_call, make_step

pytestmark = pytest.mark.usefixtures("in_root")

NET = "net={'name': 'DDPM', 'width': 8, 'multipliers': (1,), 'blocks': 1, 'attention': (8,), 'dropout': 0.0}"
LDM = "net={'name': 'LDMUNet', 'width': 8, 'multipliers': (1,), 'blocks': 1, 'attention': (), 'heads': 2, 'text_depth': 1}"
MASK = "conditions.image={'name': 'mask', 'dropout': 0.25}"
COARSE = "conditions.image=low_resolution"
TEXT = "conditions.tokens={'name': 'captions', 'dropout': 0.1}"
IDS, STATES = "conditions.tokens=token_ids", "conditions.tokens={'name': 'token_states', 'width': 6}"
MEANS = "conditions.vector={'name': 'channel_means', 'dropout': 0.5}"
LABEL = "net.classes=10", "train.label_dropout=0.2"
NAMES = tuple(map(str, range(10)))
N = 256
KEYS = jax.random.split(jax.random.key(0), N)


@cache
def made(*words, file=DIGITS, shape=(8, 8, 1), names=NAMES):
    """The experiment of the digits with a narrow network and one sampler, changed by the words."""
    few = ("train.batch=8", "train.steps=8", "train.warm_up=0", "train.decay=constant", "sample.sampler=ancestral")
    tree = read_config(file, [f"--config.{word}" for word in (*few, *words)] + [ONE_SAMPLER])
    assert not schema_problems(tree) + part_problems(tree)
    return build(Config.model_validate(tree), shape, names)


def digits(*sizes):
    rng = np.random.default_rng(0)
    return Batch(rng.integers(0, 17, (*sizes, 8, 8, 1)).astype(np.uint8), rng.integers(0, 10, sizes).astype(np.int32))


def heard(experiment, of, objective=lambda score, key, x_0, t: score(x_0, t), batch=None, keys=KEYS):
    """What a network of our own, of(x, y, key), emits in training on each example, or an objective of our own."""
    watched = experiment._replace(
        model=experiment.model._replace(apply=lambda params, x, t, y=None, key=None: of(x, y, key)),
        objective=lambda sde, score: lambda *args: objective(score, *args),
    )
    loss = jax.jit(jax.vmap(example_loss(watched), (None, 0, 0, None)))
    return jax.tree.map(np.asarray, loss(None, keys, digits(len(keys)) if batch is None else batch, 0.5).score)


def test_a_condition_is_of_what_the_network_sees():
    """Flipped as x_0 is: where it is seen, a masked image is x_0, and a mirror would show as a difference."""
    experiment = made(NET, "conditions.image=mask", "data.flip=True")
    x_0, image = heard(experiment, lambda x, y, key: (x, y["image"]))
    seen = image[..., :1]
    np.testing.assert_array_equal(image[..., 1:], seen * x_0)
    assert 0 < seen.mean() < 1


def test_a_caption_is_of_the_true_label():
    """Even where the network hears none."""
    experiment = made(NET, TEXT, *LABEL)
    y = heard(experiment, lambda x, y, key: y)
    expected = np.stack([experiment.tokens(text) for text in map("a handwritten {}".format, ["zero", "one", "two"])])
    for label, tokens in enumerate(expected):
        rows = (digits(N).y == label) & (y["tokens"] > 0).any(1)
        np.testing.assert_array_equal(y["tokens"][rows], np.tile(tokens, (rows.sum(), 1)))
        assert {*y["label"][digits(N).y == label].tolist()} == {label, 10}


def test_each_is_left_out_as_often_as_asked():
    """And independently of the others, to 5 standard errors."""
    n = 4000
    experiment = made(NET, MASK, TEXT, MEANS, *LABEL)
    null = lambda y: {"label": y["label"] == 10, **{name: (y[name] == 0).all() for name in ("image", "tokens", "vector")}}
    batch = Batch(*jax.tree.map(lambda a: np.repeat(a, n, 0), digits(1)))
    out = heard(experiment, lambda x, y, key: null(y), batch=batch, keys=jax.random.split(jax.random.key(1), n))
    assert experiment.dropouts == {"label": 0.2, "vector": 0.5, "image": 0.25, "tokens": 0.1}
    deviation = lambda p: 5 * (p * (1 - p) / n) ** 0.5
    for name, p in experiment.dropouts.items():
        assert out[name].mean() == pytest.approx(p, abs=deviation(p))
        for other, q in experiment.dropouts.items():
            if other != name:
                assert (out[name] & out[other]).mean() == pytest.approx(p * q, abs=deviation(p * q))


DRAWS = {
    "noise": (lambda score, key, x_0, t: jax.random.normal(key), None),
    "dropout": (lambda score, key, x_0, t: score(x_0, t), lambda x, y, key: jax.random.normal(key)),
    "label": (lambda score, key, x_0, t: score(x_0, t), lambda x, y, key: y["label"] if isinstance(y, dict) else y),
}


@pytest.mark.parametrize("what", DRAWS)
def test_all_else_is_drawn_as_without(what):
    """The noise, the dropout, and the labels that are left out have the same bits."""
    objective, of = DRAWS[what]
    with_it, without = (heard(made(NET, *LABEL, *words), of, objective) for words in ((MASK, TEXT, MEANS), ()))
    np.testing.assert_array_equal(with_it, without)
    assert len(np.unique(without)) > 1


def test_a_label_alone_is_no_mapping():
    """A network of a user's that knows of labels gets them as ever, and one without conditions gets None."""
    assert heard(made(NET, *LABEL), lambda x, y, key: y).shape == (N,)
    heard(made(NET), lambda x, y, key: x if y is None else None)


KERNELS = {
    "image": ((COARSE,), lambda params: params["first"]["kernel"].shape[2] == 1 + 1),
    "mask": ((MASK,), lambda params: params["first"]["kernel"].shape[2] == 1 + 2),
    "vector": ((MEANS,), lambda params: params["vector"]["kernel"].shape == (1, 32)),
    "text": ((TEXT,), lambda params: params["text"]["table"].shape == (256, 128)),
    "text of its own": ((TEXT, "net.tokens=16"), lambda params: params["text"]["table"].shape == (256, 16)),
    "text for CLIP": ((TEXT, LDM, "net.length=32"), lambda params: params["clip"]["table"].shape == (256, 128)),
    "ids for CLIP": ((IDS, LDM, "net.vocabulary=9"), lambda params: params["clip"]["positions"].shape == (77, 128)),
    "states": ((STATES, LDM), lambda params: "clip" not in params and context_of(params) == 6),
}


def context_of(params):
    """The channels of the vectors that the middle of an LDMUNet reads."""
    return params["middle1"]["cross_attention"]["blocks"][0]["cross_attention"]["k"]["kernel"].shape[0]


@pytest.mark.parametrize("case", KERNELS)
def test_the_network_has_the_sizes_of_its_conditions(case):
    words, fits = KERNELS[case]
    assert fits(jax.eval_shape(made(NET, *words).initial, jax.random.key(0)))


WAYS = {
    "all": (MASK, TEXT, MEANS, *LABEL),
    "parts": (MASK, "train.accumulate=2", "train.batch=16"),
    "calls": (TEXT, "train.steps_per_call=2"),
    "shares": (MASK, "train.shard=True", "net.width=32"),
    "bfloat16": (TEXT, MASK, MEANS, "compute=bfloat16"),
    "remat": (TEXT, "remat=True"),
    "edm": (
        MASK,
        "net={'name': 'EDMUNet', 'width': 8, 'multipliers': (1,), 'blocks': 1, 'attention': (), 'augment': 9}",
        "train.augment=0.2",
    ),
}


@slow_for(*WAYS)
@pytest.mark.parametrize("way", WAYS)
def test_it_trains_in_every_way(way):
    """A call changes parameters, and repeats to the last bit."""
    experiment = made(NET, *WAYS[way])
    config, optimizer = experiment.config, make_optimizer(experiment.config.train)
    k = config.train.steps_per_call or 1
    batch = digits(k, config.train.batch)
    batch = batch if experiment.classes else batch._replace(y=None)
    first = lambda: init_state(experiment, optimizer, stream(0, Purpose.INIT))
    call = partial(make_call(experiment, optimizer, stream(0, Purpose.STEP)), frozen=experiment.frozen)
    advance = devices.pmapped(call, placement(config, first()))
    state, again = (jax.tree.map(np.array, advance(first(), devices.split(batch, axis=1))) for _ in range(2))
    assert np.isfinite(state.tally.loss)
    assert state.tally.n == k
    jax.tree.map(np.testing.assert_array_equal, state, again)


CENTRES = np.array([[1.0, 0.0], [-1.0, 1.0]], np.float32)


@pytest.mark.slow
def test_a_vector_is_learned():
    """Of two points that are their own vectors, E[x_0 | x_t, v] = v; without v it is their mean, over x_t of noise alone."""
    vector = "conditions.vector={'name': 'channel_means', 'dropout': 0.2}"
    experiment = made(vector, "train.learning_rate=3e-3", "net.width=64", file=MOONS, shape=(2,), names=())
    optimizer = make_optimizer(experiment.config.train)
    state = jax.device_put(init_state(experiment, optimizer, jax.random.key(0)), jax.devices()[0])
    which = np.random.default_rng(0).integers(0, 2, (1000, 128))
    params = jax.jit(make_step(experiment, optimizer, jax.random.key(1)))(state, Batch(CENTRES[which])).params
    for centre in CENTRES:
        x_t = experiment.sde.perturb(jnp.asarray(centre), jnp.array([0.3, -0.8]), 0.7)
        x_0 = experiment.sde.denoise(experiment.conditional(params, {"vector": jnp.asarray(centre)}), x_t, 0.7)
        np.testing.assert_allclose(x_0, centre, atol=0.25)
    of_noise = jax.vmap(lambda x_t: experiment.sde.denoise(experiment.unconditional(params), x_t, 0.9))
    np.testing.assert_allclose(of_noise(jax.random.normal(jax.random.key(2), (256, 2))).mean(0), CENTRES.mean(0), atol=0.3)


OF = "conditions.image"
GUIDED = "samplers.ancestral.guidance"
REFUSED = {
    "no such function": ((NET, f"{OF}=maskk"), f"{OF}: unknown experiments.conditions name 'maskk' (did you mean mask?)"),
    "another kind": ((NET, f"{OF}=captions"), f"{OF}: 'captions' is another part of experiments.conditions"),
    "no such option": ((NET, f"{OF}={{'name': 'mask', 'hole': 2}}"), f"{OF}: unknown option hole (did you mean holes?)"),
    "no such share": ((NET, f"{OF}={{'name': 'mask', 'dropout': 1.5}}"), f"{OF}.dropout = 1.5: input should be less than 1"),
    "a deaf network": (
        ("net=MLP", f"{OF}=mask"),
        f"{OF} = mask: MLP takes no image; take ADM, DDPM, DiT, EDMUNet, LDMUNet, NCSN",
    ),
    "a deaf transformer": (("net=DiT", TEXT), "conditions.tokens = captions: DiT takes no tokens; take ADM, DDPM, EDMUNet"),
    "channels by hand": ((NET, "net.image=3", f"{OF}=mask"), f"net: image is not an option: it comes from {OF}"),
    "tokens of nothing": ((NET, "net.tokens=8"), "net.tokens = 8 is of conditions.tokens, and there are none"),
    "a long caption": ((NET, "conditions.tokens={'name': 'captions', 'length': 8}"), "conditions: 'a handwritten zero' has 18"),
    "few characters": ((NET, TEXT, "net.vocabulary=100"), "net.vocabulary = 100: captions are of 256 bytes; leave it out"),
    "other classes": ((NET, TEXT, "net.classes=4"), "net.classes = 4, and conditions.tokens is made of 10 names; take 10"),
    "blocks that do not fit": (
        (NET, f"{OF}={{'name': 'low_resolution', 'factor': 3}}"),
        "conditions: coarse(3): blocks of 3 x 3 do not fill 8 x 8; those of the nearest sizes, 2 and 4, do",
    ),
    "a text for a deaf network": ((NET, "sample.caption=three"), "would change nothing: the network hears no captions"),
    "a text for a network of tokens": (
        (NET, IDS, "sample.caption=three"),
        "the network hears no captions, but tokens: give y={'tokens': ...} to run.sample in Python",
    ),
    "examples for a deaf network": ((NET, "sample.like=(1,)"), "sample.like = (1,) would change nothing: the network hears no"),
    "guidance to what is always there": (
        (NET, COARSE, f"{GUIDED}=classifier_free"),
        f"the network has learned no score without an image: train with {OF}.dropout = 0.1",
    ),
    "guidance to nothing": (
        (NET, MASK, f"{GUIDED}={{'name': 'classifier_free', 'drop': ('tokens',)}}"),
        "guidance classifier_free goes to what samples are without: take another drop",
    ),
    "guidance to no name": ((NET, MASK, f"{GUIDED}={{'name': 'classifier_free', 'drop': ('images',)}}"), f"{GUIDED}: drop"),
}


def problems(file, *words, shape=(8, 8, 1), names=NAMES):
    """The problems of a config: those of its tree, or those of what it builds."""
    tree = read_config(file, [ONE_SAMPLER, "--config.sample.sampler=ancestral", *(f"--config.{word}" for word in words)])
    if lines := schema_problems(tree) + part_problems(tree):
        return lines
    with pytest.raises(ConfigError) as error:
        build(Config.model_validate(tree), shape, names)
    return str(error.value).splitlines()


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    words, says = REFUSED[case]
    lines = problems(DIGITS, *words)
    assert says in "\n".join(lines)
    assert len(lines) <= 4


def test_what_has_no_condition_is_refused():
    """A classifier, labels without names, and points."""
    assert "a classifier hears nothing beside the noise level" in problems("configs/digits/classifier.py", f"{OF}=mask")[0]
    assert "made of the names of classes, and those of the data have none" in problems(DIGITS, NET, TEXT, names=())[0]
    assert "MLP takes no image" in problems(MOONS, f"{OF}=mask", shape=(2,), names=())[0]


@pytest.mark.slow
def test_an_example_that_is_not_there_is_refused_before_training(tmp_path, capsys):
    words = [f"--config.{word}" for word in (NET, MASK, "sample.like=(5000,)", "sample.sampler=ancestral")]
    assert main(["train", f"--config={DIGITS}", f"--workdir={tmp_path / 'run'}", *words]) == 2
    assert "sample.like: there is no held-out example 5000; take 0 to 499" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
