"""Augmentation in training: the network hears of it then alone, all else is drawn as without, and misfits are refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import DIGITS, MOONS
from slow import one_in, slow_for

from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state, placement
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.augmentation import LABELS, augmented
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError
from experiments.training.step import example_loss, make_call, make_step

pytestmark = pytest.mark.usefixtures("in_root")

NET = {"name": "EDMUNet", "width": 8, "multipliers": (1,), "blocks": 1, "attention": (), "augment": LABELS}
SMALL = ("train.batch=8", "train.steps=8", "train.warm_up=0", "train.decay=constant")
P, N = 0.5, 256
KEYS = jax.random.split(jax.random.key(0), N)


def made(*words):
    """The experiment of augmented digits with a narrow network."""
    tree = read_config(DIGITS, [f"--config.{word}" for word in (f"net={NET!r}", *SMALL, f"train.augment={P}", *words)])
    assert not schema_problems(tree) + part_problems(tree)
    return build(Config.model_validate(tree), (8, 8, 1))


def digits(*sizes, classes=0):
    levels = np.random.default_rng(0).integers(0, 17, (*sizes, 8, 8, 1)).astype(np.uint8)
    return Batch(levels, np.ones(sizes, np.int32) if classes else None)


def values(experiment, objective, apply):
    """The values [N, ...] of an objective of our own, objective(score, key, x_0, t), for a network of our own."""
    watched = experiment._replace(
        model=experiment.model._replace(apply=apply), objective=lambda sde, score: lambda *args: objective(score, *args)
    )
    loss = jax.jit(jax.vmap(example_loss(watched), (None, 0, 0, None)))
    return np.asarray(loss(None, KEYS, digits(N, classes=experiment.classes), 0.5).score)


@pytest.mark.slow
def test_the_network_hears_of_the_map_of_its_image():
    """Each example is flipped, and mapped by `augmented` with a fold of its own key, and its labels are beside it."""
    experiment = made("data.flip=True")
    both = lambda score, key, x_0, t: jnp.concatenate([x_0.ravel(), score(x_0, t)])
    heard = values(experiment, both, lambda params, x, t, y, key: y["augment"])

    def expected(key, levels):
        data_key, _, flip_key, _ = jax.random.split(key, 4)
        x_0 = experiment.scaler.encode(data_key, levels)
        x_0 = jnp.where(jax.random.bernoulli(flip_key), x_0[:, ::-1], x_0)
        return augmented(jax.random.fold_in(key, 5), x_0, P)

    images, labels = jax.jit(jax.vmap(expected))(KEYS, digits(N).levels)
    np.testing.assert_allclose(heard, jnp.concatenate([images.reshape(N, -1), labels], axis=1), rtol=1e-4, atol=1e-5)
    assert len(np.unique(labels, axis=0)) > N / 2


DRAWS = {
    "noise": (lambda score, key, x_0, t: jax.random.normal(key), None),
    "dropout": (lambda score, key, x_0, t: score(x_0, t), lambda params, x, t, y, key: jax.random.normal(key)),
    "label": (
        lambda score, key, x_0, t: score(x_0, t),
        lambda params, x, t, y, key: 1.0 * (y["label"] if isinstance(y, dict) else y),
    ),
}


@pytest.mark.parametrize("what", DRAWS)
def test_all_else_is_drawn_as_without(what):
    """The noise, the dropout, and the labels that are left out have the same bits."""
    labelled = "net.classes=3", "train.label_dropout=0.5"
    with_it, without = (values(made(*labelled, *words), *DRAWS[what]) for words in ((), ("train.augment=0.0",)))
    np.testing.assert_array_equal(with_it, without)
    assert len(np.unique(without)) > 1


def test_zero_is_what_is_sampled():
    """The score that samples and is evaluated is that of zero labels; other labels have another score."""
    experiment = made()
    like = jax.eval_shape(experiment.initial, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.array(0.3 * rng.standard_normal(a.shape), jnp.float32), like)
    x = jnp.array(rng.standard_normal((8, 8, 1)), jnp.float32)
    hears = jax.jit(lambda labels: experiment.model.apply(params, x, 0.5, {"label": None, "augment": labels}))
    sampled = jax.jit(lambda: experiment.score(params)(x, 0.5))()
    np.testing.assert_allclose(sampled, hears(jnp.zeros(LABELS)), rtol=1e-5, atol=1e-6)
    assert all(np.abs(sampled - hears(label)).max() > 1e-3 for label in jnp.eye(LABELS))


HEARS = "net={'name': 'user_parts:Hears', 'augment': 9}"
WAYS = {
    "user": (HEARS,),
    "unet": (),
    "parts": ("train.accumulate=2", "train.batch=16"),
    "calls": ("train.steps_per_call=2",),
    "shares": ("train.shard=True", "net.width=32"),
    "bfloat16": ("compute=bfloat16",),
    "remat": ("remat=True",),
    "classes": ("net.classes=3", "train.label_dropout=0.2"),
}


@pytest.mark.slow
@slow_for(*(way for way in WAYS if way != "user"))
@pytest.mark.parametrize("way", WAYS)
def test_it_trains_in_every_way(way):
    """A call changes the weights of the labels, and repeats to the last bit."""
    experiment = made(*WAYS[way])
    config, optimizer = experiment.config, make_optimizer(experiment.config.train)
    k = config.train.steps_per_call or 1
    batch = digits(k, config.train.batch, classes=experiment.classes)
    first = lambda: init_state(experiment, optimizer, stream(0, Purpose.INIT))
    of_labels = lambda state: [np.array(leaf) for leaf in jax.tree.leaves(state.params) if leaf.shape[0] == LABELS]
    call = partial(make_call(experiment, optimizer, stream(0, Purpose.STEP)), frozen=experiment.frozen)
    advance = devices.pmapped(call, placement(config, first()))
    state, again = (jax.tree.map(np.array, advance(first(), devices.split(batch, axis=1))) for _ in range(2))
    assert np.isfinite(state.tally.loss)
    assert state.tally.n == k
    assert all((before != after).any() for before, after in zip(of_labels(first()), of_labels(state), strict=True))
    assert len(of_labels(state)) == 1
    jax.tree.map(np.testing.assert_array_equal, state, again)


@pytest.mark.slow
def test_no_map_leaks_into_what_is_sampled():
    """Of one image, half of whose copies are mirrored, the network draws that image, or the mirrored one if it hears so."""
    experiment = made("train.augment=0.3", "train.batch=32", "train.learning_rate=3e-3", "net.width=16")
    optimizer = make_optimizer(experiment.config.train)
    state = jax.device_put(init_state(experiment, optimizer, jax.random.key(0)), jax.devices()[0])
    down, right = np.mgrid[:8, :8]
    image = np.round((down + 2 * right) / 21 * 16).astype(np.uint8)[..., None]
    batches = Batch(np.broadcast_to(image, (300, 32, *image.shape)))
    params = jax.jit(make_step(experiment, optimizer, jax.random.key(1)))(state, batches).params
    x_t = jax.random.normal(jax.random.key(2), (64, *image.shape))

    def mean(y):
        """Of E[x_0 | x_t, y] over x_t of next to nothing but noise."""
        score = lambda x, t: experiment.model.apply(params, x, t, y)
        return jax.jit(jax.vmap(lambda x: experiment.sde.denoise(score, x, 0.9)))(x_t).mean(0)

    plain = experiment.scaler.place(image, 0.5)
    distance = lambda y, x_0: float(jnp.linalg.norm(mean(y) - x_0))
    mirrored = {"augment": jnp.eye(LABELS)[0]}
    assert distance(None, plain) < 0.6 * distance(None, plain[:, ::-1])
    assert distance(mirrored, plain[:, ::-1]) < 0.6 * distance(mirrored, plain)


OBJECTIVES = {
    "vlb": ("objective=vlb", "weight=None", "times={'name': 'discrete', 'n': 10}"),
    "hybrid": ("objective=hybrid", "weight=None", "times={'name': 'discrete', 'n': 10}"),
    "ism": ("objective=ism",),
    "ssm": ("objective=ssm",),
    "ssm_vr": ("objective=ssm_vr",),
    "loss_aware": ("times=loss_aware",),
}
SDES = ("VESDE", "SubVPSDE", "CosineVPSDE", "GeometricVPSDE", "LogLinearVPSDE", "RectifiedFlowSDE", "EDMSDE", "ddpm_table")


@one_in(8)
@pytest.mark.parametrize("words", [*OBJECTIVES.values(), *((f"sde={name}",) for name in SDES)], ids=[*OBJECTIVES, *SDES])
def test_every_objective_and_sde_takes_it_by_trace(words):
    experiment = made(*words)
    like = jax.eval_shape(experiment.initial, jax.random.key(0))
    one = jax.tree.map(lambda a: a[0], digits(1))
    gradient = jax.eval_shape(jax.grad(lambda *of: example_loss(experiment)(*of).score), like, jax.random.key(0), one, 0.5)
    assert gradient["augment"]["kernel"].shape[0] == LABELS


OFF = "train.augment = 0.5"
REFUSED = {
    "another network": (DIGITS, ("net=DDPM",), f"{OFF}: DDPM takes no augmentation labels; take EDMUNet, or data.flip"),
    "deaf": (DIGITS, (f"net={NET | {'augment': 0}!r}",), f"{OFF} has 9 labels, and the network takes 0; set net.augment = 9"),
    "other labels": (DIGITS, (f"net={NET | {'augment': 4}!r}",), f"{OFF} has 9 labels, and the network takes 4; set net"),
    "points": (MOONS, (), f"{OFF}: MLP takes no augmentation labels; take EDMUNet, or data.flip"),
    "points with ears": (MOONS, ("net=user_parts:Hears",), f"{OFF} is for images [H, W, C] of at least 2 x 2 pixels, not for"),
    "a classifier": (
        "configs/digits/classifier.py", (), f"{OFF}: a classifier takes no augmentation labels; take 0, or data.flip",
    ),
    "always and more": (DIGITS, ("train.augment=1.5",), "train.augment = 1.5: input should be less than or equal to 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_before_any_compile(case, tmp_path, capsys):
    config, words, says = REFUSED[case]
    overrides = [f"--config.{word}" for word in ("train.augment=0.5", *words)]
    assert main(["train", f"--config={config}", f"--workdir={tmp_path / 'run'}", *overrides]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) <= 5
    assert not (tmp_path / "run").exists()


def test_a_user_s_network_that_mishears_is_refused():
    """Its y holds the conditions by name; a mistake with them is found before any compile."""
    made(HEARS)
    with pytest.raises(ConfigError, match=r"train: .* and 'dict' \(user_parts\.py:"):
        made(HEARS.replace("Hears", "Mishears"))


@pytest.mark.slow
def test_a_run_of_it_is_resumed_sampled_and_evaluated(tmp_path):
    words = [f"--config.{word}" for word in (f"net={NET!r}", *SMALL, f"train.augment={P}", "train.checkpoint_every=4")]
    few = [
        "--config.evaluate.n=16",
        "--config.evaluate.seeds=1",
        "--config.evaluate.batch=16",
        "--config.evaluate.likelihood=8",
    ]
    where = [f"--config={DIGITS}:tiny", f"--workdir={tmp_path}"]
    assert main(["train", *where, *words, "--config.train.steps=4"]) == 0
    assert main(["train", *where, *words, "--config.train.steps=8"]) == 0
    assert main(["sample", str(tmp_path), "--config.sample.n=8"]) == 0
    assert main(["evaluate", str(tmp_path), *few]) == 0
