"""Optimisers are Optax's for what is trained, to the last bit, and leave constants as they are; misfits are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from runs import MOONS, TINY
from slow import one_in

from experiments.build.build import build
from experiments.build.optimizer import check_optimizer, make_optimizer, optimizer_rate
from experiments.config.messages import schema_problems
from experiments.config.optimizers import STEADIER
from experiments.config.parts import OPTIMIZER
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config, Named, Train
from experiments.runtime.errors import ConfigError
from models.layers.noise import Fourier

pytestmark = pytest.mark.usefixtures("in_root")


def section(**changes):
    return Train(**{"steps": 10, "batch": 1, "warm_up": 0, "learning_rate": 0.1} | changes)


class Net(nnx.Module):
    """A product of fixed waves, with a bias that begins behind a zero."""

    def __init__(self, rngs):
        self.waves = Fourier(8, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (8,)))
        self.gate, self.bias = nnx.Param(np.float32(0)), nnx.Param(np.float32(3))

    def __call__(self, c):
        return self.waves(c) @ self.kernel[...] + self.gate[...] * self.bias[...]


@pytest.mark.slow
def test_decay_is_of_what_is_trained():
    graph, params = nnx.split(Net(nnx.Rngs(0)))
    c, y = jax.random.normal(jax.random.key(1), (2, 16))
    gradient = jax.jit(jax.grad(lambda params: ((nnx.merge(graph, params)(c) - y) ** 2).mean()))
    ours = make_optimizer(Train(steps=10, batch=1, warm_up=0, learning_rate=0.1, weight_decay=2.0))
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.constant_schedule(0.1), weight_decay=2.0))
    runs = {}
    for optimizer in (ours, theirs):
        at, state, path = params, optimizer.init(params), []
        for _ in range(3):
            update, state = optimizer.update(gradient(params), state, at)
            at = optax.apply_updates(at, update)
            path.append(at)
        runs[optimizer] = path, jax.tree.structure(state)
    (mine, here), (adamw, there) = runs[ours], runs[theirs]
    assert here == there  # checkpoints fit
    for one, other in zip(mine, adamw, strict=True):
        np.testing.assert_array_equal(one.waves.frequencies[...], params.waves.frequencies[...])
        assert (other.waves.frequencies[...] != params.waves.frequencies[...]).all()
        np.testing.assert_array_equal(one.kernel[...], other.kernel[...])
        np.testing.assert_array_equal(one.gate[...], other.gate[...])
    assert mine[-1].bias[...] == 3  # whose gradient is `gate`, 0 at these parameters


def of(name, **options):
    return Named(name=name, **options)


def optimized(optimizer, gradients, params):
    """The parameters after each gradient."""
    state, path = optimizer.init(params), []
    for gradient in gradients:
        update, state = jax.jit(optimizer.update)(gradient, state, params)
        params = optax.apply_updates(params, update)
        path.append(params)
    return path


PARAMS = {"kernel": jnp.linspace(-1, 1, 12).reshape(4, 3), "bias": jnp.ones(3), "constant": jnp.full((4, 4), 5.0)}
GRADIENTS = [
    {"kernel": jnp.cos(jnp.arange(12.0) + i).reshape(4, 3), "bias": jnp.full(3, 0.5 + i), "constant": jnp.zeros((4, 4))}
    for i in range(3)
]


@one_in(6)
@pytest.mark.parametrize("name", [name for name in OPTIMIZER.names if name not in STEADIER])
def test_every_factory_trains_what_has_a_gradient(name):
    """Nothing else decays either, whatever the own decay of the optimiser would do."""
    decay = next((key for key in ("weight_decay", "weight_decay_rate") if OPTIMIZER.takes(name, key)), None)
    config = section(optimizer=of(name, **({decay: 0.5} if decay else {})))
    check_optimizer(config, PARAMS)
    path = optimized(make_optimizer(config), GRADIENTS, PARAMS)
    np.testing.assert_array_equal(path[-1]["constant"], PARAMS["constant"])
    for leaf in ("kernel", "bias"):
        assert np.isfinite(path[-1][leaf]).all()
        assert (path[-1][leaf] != PARAMS[leaf]).any()


@pytest.mark.parametrize("name", ["adamw", "lion", "adafactor"])
def test_it_is_optaxs_own(name):
    """Arrays with gradients are equal to the last bit, on the section's learning rate and after its clip."""
    config = section(optimizer=of(name), decay="cosine", warm_up=2)
    theirs = optax.chain(optax.clip_by_global_norm(1.0), getattr(optax, name)(optimizer_rate(config)))
    for one, other in zip(*(optimized(o, GRADIENTS, PARAMS) for o in (make_optimizer(config), theirs)), strict=True):
        for leaf in ("kernel", "bias"):
            np.testing.assert_array_equal(one[leaf], other[leaf])


@pytest.mark.parametrize("name", STEADIER)
def test_what_needs_more_than_gradients_is_refused(name):
    nearest = STEADIER[name]
    with pytest.raises(ValueError, match=rf"{name} (needs more than the gradient of each step .*|has no .*); take .*{nearest}"):
        check_optimizer(section(optimizer=of(name)), PARAMS)
    works = of(name, linesearch=None) if "=" in nearest else of(nearest)
    check_optimizer(section(optimizer=works), PARAMS)


def test_a_number_for_a_learning_rate_is_the_sections():
    check_optimizer(section(optimizer=of("sm3")), PARAMS)
    for more in ({"warm_up": 2}, {"decay": "cosine"}):
        with pytest.raises(ValueError, match="sm3 takes a constant learning rate"):
            check_optimizer(section(optimizer=of("sm3"), **more), PARAMS)


SCHEDULES = {
    "warmup_cosine_decay_schedule": optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 20),
    "cosine_decay_schedule": optax.cosine_decay_schedule(0.1, 20),
    "constant_schedule": optax.constant_schedule(0.1),
    "linear_onecycle_schedule": optax.linear_onecycle_schedule(20, 0.1),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_takes_from_the_section_what_it_leaves_out(name):
    rate = optimizer_rate(section(steps=20, warm_up=3, schedule=of(name)))
    np.testing.assert_array_equal([rate(i) for i in range(21)], [SCHEDULES[name](i) for i in range(21)])


def test_the_options_of_a_schedule_are_its_own():
    linear = optimizer_rate(section(schedule=of("linear_schedule", init_value=1.0, end_value=0.5, transition_steps=4)))
    np.testing.assert_allclose([linear(i) for i in (0, 2, 4, 9)], [1.0, 0.75, 0.5, 0.5])
    piecewise = optimizer_rate(section(schedule=of("piecewise_constant_schedule", boundaries=(3, 6), scales=(0.5, 0.1))))
    np.testing.assert_allclose([piecewise(i) for i in (0, 2, 3, 6)], [0.1, 0.1, 0.05, 0.005], rtol=1e-6)


def problems(*overrides):
    """All lines about a config that is refused."""
    tree = read_config(MOONS, [*TINY, "--config.train.learning_rate=0.0002", *(f"--config.{o}" for o in overrides)])
    if lines := schema_problems(tree) + part_problems(tree):
        return lines
    try:
        build(Config.model_validate(tree), (2,))
    except ConfigError as error:
        return str(error).splitlines()
    return []


OWN = """
import optax

def plain(learning_rate, b1: float = 0.9): return optax.adam(learning_rate, b1)
def fails(learning_rate): return optax.adam(learnin_rate)
def schedule(learning_rate, steps, power: float = 1.0): return lambda step: learning_rate * (1 - step / steps) ** power
def falls(learning_rate): return lambda step: learning_rate * (1.0 - step)
def none(learning_rate): return 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_optimizers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("train.optimizer=lionn",), "(did you mean lion?)"),
        (("train.optimizer.name=lion", "train.optimizer.beta1=0.9"), "train.optimizer: unknown option beta1"),
        (("train.optimizer.name=lion", "train.optimizer.b1='high'"), "b1 = 'high': input should be a valid number"),
        (
            ("train.optimizer.name=lion", "train.optimizer.learning_rate=0.1"),
            "it comes from train.learning_rate or train.schedule",
        ),
        (("train.optimizer=lion", "train.beta1=0.8"), "train.beta1 = 0.8 would change nothing: train.optimizer has options"),
        (("train.optimizer=lbfgs",), "take lbfgs with linesearch = None"),
        (("train.optimizer=sm3", "train.warm_up=2"), "sm3 takes a constant learning rate"),
        (("train.optimizer=my_optimizers:fails",), "NameError: name 'learnin_rate' is not defined (my_optimizers.py:5)"),
        (("train.optimizer=my_optimizers:none",), "makes a int, not a GradientTransformation"),
        (("train.schedule=cosine_decay",), "did you mean cosine_decay_schedule?"),
        (
            ("train.schedule=warmup_cosine_decay_schedule", "train.schedule.end=0.1"),
            "unknown option end (there are init_value, peak_value, warmup_steps",
        ),
        (("train.schedule=cosine_decay_schedule",), "train.warm_up = 2 would change nothing: train.schedule is the whole"),
        (("train.schedule=warmup_cosine_decay_schedule", "train.decay=cosine"), "train.decay = 'cosine' would change nothing"),
        (("train.schedule=my_optimizers:falls", "train.warm_up=5000"), "the learning rate at step"),
        (
            ("train.schedule={'name': 'piecewise_constant_schedule', 'boundaries': (3,), 'scales': ()}", "train.warm_up=5000"),
            "give as many of each",
        ),
    ],
)
def test_a_misfit_is_refused_before_it_compiles(overrides, words):
    lines = problems(*overrides)
    assert any(words in line for line in lines), lines


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "overrides",
    [
        ("train.optimizer.name=my_optimizers:plain", "train.optimizer.b1=0.8"),
        ("train.schedule.name=my_optimizers:schedule", "train.schedule.power=2.0", "train.warm_up=5000"),
        ("train.optimizer=muon", "train.schedule=warmup_cosine_decay_schedule"),
    ],
)
def test_what_fits_is_built(overrides):
    assert not problems(*overrides)
