"""Configs with one thing wrong: refused in a few lines with exit code 2, or trained and sampled; no traceback, no hang."""

import copy
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapes import SHAPES
from slow import one_in
from small_experiments import frozen_shapes, identity_codec, taught

from experiments.build.optimizer import optimizer_of
from experiments.build.sampler import BoundSampler, Rows
from experiments.build.state import first_state
from experiments.commands.opening import build_arms, make_plan
from experiments.config.parts import classifies
from experiments.config.reading import read_config
from experiments.config.tiny import tiny
from experiments.data.dataset import Batch
from experiments.data.moments import Moments
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runs.metrics import rows
from experiments.runtime.errors import ConfigError
from experiments.runtime.failures import lines
from experiments.training.step import make_call
from samplers import solve

ROOT = Path(__file__).parents[3]
FILES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py") if path.name not in ("__init__.py", "base.py")
)
MOONS = "configs/toy2d/moons.py"
GONE = object()
"""Instead of a value: the key is not there."""
VALUES = [
    *(GONE, None, True, 0, 1, 3, -1, 10**9, 10**30, 10**5000, 0.5, -0.5, 1e-44, 1e30, 1e38, float("nan"), float("inf")),
    *("", "x", "5", ":", "a/../b", "os:system", "builtins:print", "é\u202e\x00\x1b[31m", "z" * 5000),
    *((), (3,), (1, 2), (-1,), ("a",), (1.5,), (10**9,) * 2, [1], {}, {"a": 1}, {"name": "x"}, {"name": 3}, b"x", 1j),
]
WRONG = [10**5000, float("nan"), -float("inf"), "é\u202e\x00", "z" * 5000, b"x", 1j, [1], {"name": 3}, (("a",),), (10**30,)]
"""Values that no leaf takes but text, and the names of text."""


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("experiments.runs.codecs._trained", identity_codec)


@cache
def whole(file):
    """The shrunk config."""
    return read_config(f"{file}:tiny", [], {"tiny": tiny})


def keys(tree, above=()):
    """The path of every section and leaf."""
    for key, below in tree.items():
        yield (*above, key)
        if isinstance(below, dict):
            yield from keys(below, (*above, key))


def mutated(tree, path, value):
    """The tree with another value there, which may be new."""
    tree = copy.deepcopy(tree)
    *above, leaf = path
    node = tree
    for key in above:
        node = node[key]
    if value is GONE:
        del node[leaf]
    else:
        node[leaf] = value
    return tree


def assert_brief(said):
    """At least one line, five at most, none of them longer than a screen is wide a few times."""
    assert 1 <= len(said.splitlines()) <= 5
    assert max(map(len, said.splitlines())) < 600
    assert "Traceback" not in said


BUILT, TRACED = set(), set()
"""The configs that have been judged, and the parts of configs that a traced program depends on."""
NETWORK = ("sde", "net", "lora", "parameterization", "conditioning", "scale_input", "sigma_data", "compute", "remat")
OF_TRAINING = (*NETWORK, "data", "objective", "weight", "times", "train")
OF_SAMPLING = (*NETWORK, "data", "objective", "sample")
UNTRACED = {
    "data": {"data_dir", "train", "test", "validation", "resident_mib", "on_bad", "only"},
    "train": {"log_every", "sample_every", "checkpoint_every", "keep", "callbacks", "log", "seeds"},
    "sample": {"n", "seed", "pngs", "file"},
}
"""Keys of these sections that no traced program depends on."""


def outcome(tree, traced=True):
    """What the command line says against the tree: nothing, and then it is built, and two steps and a sample are traced."""
    try:
        plan = make_plan(tree, opening=False)
        if not traced:
            return ""
        shape = SHAPES.get(tree["data"]["name"], (2,)) if tree["data"].get("levels") == 0 else (8, 8, 1)
        fresh = {name: config for name, config in plan.arms.items() if repr(config) not in BUILT}
        built = build_arms(fresh, shape, training=True, moments=Moments((0.0,) * shape[-1], (1.0,) * shape[-1]))
    except ConfigError as error:
        said = lines(error)
        assert_brief(said)
        return said
    for experiment in built.values():
        config = experiment.config
        drawn_by = config.samplers[config.sample.sampler]
        traces = ((trace_training, OF_TRAINING, ()), (trace_sampling, OF_SAMPLING, drawn_by))
        for trace, parts, more in traces[: 1 if classifies(config) else 2]:  # a classifier has no score to draw from
            part = repr((trace.__name__, config.model_dump(include={*parts}, exclude=UNTRACED), more))
            if part not in TRACED:
                trace(experiment)
                TRACED.add(part)
        BUILT.add(repr(config))
    return ""


def trace_training(experiment):
    """Two steps of training."""
    config = experiment.config
    optimizer = optimizer_of(config)
    state = jax.eval_shape(partial(first_state, experiment, optimizer), jax.random.key(0))
    row = experiment.row(jnp.uint8 if config.data.levels else jnp.float32)
    y = jax.ShapeDtypeStruct((2, config.train.batch), jnp.int32) if experiment.classes else None
    batches = Batch(jax.ShapeDtypeStruct((2, config.train.batch, *row.shape), row.dtype), y)
    frozen, advance = frozen_shapes(experiment), make_call(taught(experiment), optimizer, stream(config.seed, Purpose.STEP))
    after = jax.eval_shape(advance, state, batches, frozen)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)


def trace_sampling(experiment):
    """A sample by the sampler that the config draws by."""
    config = experiment.config
    params, frozen = jax.eval_shape(experiment.initial, jax.random.key(0)), frozen_shapes(experiment)
    sampler, sde = config.samplers[config.sample.sampler], experiment.sde
    bound = BoundSampler(experiment, sampler)

    def one(params, key, frozen):
        params = experiment._replace(frozen=frozen).network(params)
        label = None if bound.label is None else jnp.int32(0)
        y = bound.conditions(params, Rows(key, label, jnp.zeros(experiment.shape), bound.caption))
        score = experiment.score(params)
        final = partial(sde.denoise, score) if sampler.denoise else None
        x = sde.prior_sample(key, experiment.code_shape)
        return solve(key, bound.step(params, y), x, bound.grid(), final).x

    draw = lambda params, key, frozen: jax.vmap(lambda key: one(params, key, frozen), axis_name="batch")(
        jax.random.split(key, 2)
    )
    drawn = jax.eval_shape(draw, params, stream(config.sample.seed, Purpose.SAMPLE), frozen)
    assert drawn.shape == (2, *experiment.code_shape)


def role(tree, path):
    """What the leaf is, whatever the config: its place, and the parts that it is an option of."""
    named, node = [], tree
    for key in path:
        if isinstance(node, dict) and isinstance(node.get("name"), str):
            named.append(node["name"])
        node = node[key]
    labelled = path[0] in ("samplers", "arms")
    return (path[0], *(path[2:] if labelled else path[1:]), *named)


def distinct(files):
    """(file, path) of every section and leaf, each role once."""
    found = {}
    for file in files:
        for path in keys(whole(file)):
            found.setdefault(role(whole(file), path), (file, path))
    return sorted(found.values())


@one_in(4)
@pytest.mark.parametrize("file", FILES)
def test_no_key_goes_by_another_name(file):
    """Every section and leaf of every config once more with a letter too many, beside it: refused, or a label of the user's."""
    tree = whole(file)
    assert not outcome(tree, traced=False)
    for path in keys(tree):
        *above, leaf = path
        node = tree
        for key in path:
            node = node[key]
        said = outcome(mutated(tree, (*above, f"{leaf}x"), node), traced=False)
        assert said or above in (["samplers"], ["arms"]) or (above[:1] == ["arms"] and above[2:] == ["samplers"]), path


@pytest.mark.slow
def test_no_leaf_takes_what_has_the_wrong_type():
    """Each role that a leaf has in any config, judged with each value that only text or a section can be."""
    texts = {"run", "name", "title", "data_dir", "train", "test", "validation", "inception", "statistics", "sampler", "learned"}
    for file, path in distinct(FILES):
        for value in WRONG:
            said = outcome(mutated(whole(file), path, value), traced=False)
            assert said or (path[-1] in texts and isinstance(value, str)), (file, path, WRONG.index(value))


@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(list(keys(whole.__wrapped__(str(ROOT / MOONS))))), value=st.sampled_from(VALUES))
def test_any_mutation_of_a_small_config_is_refused_or_runs(path, value):
    outcome(mutated(whole(MOONS), path, value))


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_mutation_is_refused_or_runs(value):
    """Each role of a leaf once, in the smallest config that has it."""
    failed = []
    for file, path in distinct(sorted(FILES, key=lambda file: len(str(whole(file))))):
        try:
            outcome(mutated(whole(file), path, value))
        except Exception as error:
            failed.append((file, path, f"{type(error).__name__}: {error}"[:300]))
    assert not failed


REFUSED = {
    # the command line's own text
    "config.seed=1": "write an override as --config.key=value",
    "--config.seed": "write an override as --config.key=value",
    "--config.=3": "write a key as names with dots between them",
    "--config.a..b=1": "write a key as names with dots between them",
    "--config.net..width=1": "write a key as names with dots between them",
    "--config.seed.deep=1": "config.seed = 0 has no keys below it",
    "--config.net.width=": "net: width = '': input should be a valid integer",
    "--config.net.width=1.5": "net: width = 1.5: input should be a valid integer, as in 1000",
    "--config.net.width={[]: 1}": "net: width = '{[]: 1}'",
    "--config.net.width=" + "(" * 5000: "net: width = '(((",
    "--config.net.width=" + "9" * 5000: "net: width = '999",
    "--config.nét.width=3": "unknown config key nét",
    "--config.train.lerning_rate=1": "unknown config key train.lerning_rate (did you mean learning_rate?)",
    # ranges
    "--config.net.width=1000000000": "less than or equal to 16384",
    "--config.net.width=33": "needs an even width",
    "--config.net.depth=-1": "greater than or equal to 1",
    "--config.net.depth=1000000000": "less than or equal to 100",
    "--config.net.classes=-1": "greater than or equal to 0",
    "--config.samplers.ancestral.n=1000000000": "less than or equal to 100000",
    "--config.samplers.ancestral.sweep.n=(1000000000,)": "whole, and from 1 to 100000",
    "--config.train.learning_rate=100.0": "train.learning_rate = 100.0: input should be less than or equal to 1",
    "--config.train.epsilon=0.0": "train.epsilon = 0.0",
    "--config.train.warm_up=1000000000000": "train.warm_up = 1000000000000",
    "--config.train.batch=1000000000": "train.batch = 1000000000",
    "--config.train.batch=13": "train.batch = 13 does not divide over 2 devices: take 12 or 14",
    "--config.evaluate.batch=13": "evaluate.batch = 13 does not divide over 2 devices: take 12 or 14",
    "--config.sample.seed=-1": "sample.seed = -1",
    "--config.evaluate.n=1000000000": "evaluate.n = 1000000000",
    "--config.evaluate.tolerance=1e30": "evaluate.tolerance = 1e+30",
    "--config.samplers.annealed_langevin.step.snr=1e30": "less than or equal to 10",
    "--config.sde.beta_max=1e39": "sde: beta_max = 1e+39",
    # combinations
    "--config.sde={'name': 'VESDE', 'sigma_max': 1e20}": "sigma(t)^2",
    "--config.sde={'name': 'VESDE', 'sigma_min': 50.0, 'sigma_max': 0.01}": "log_snr(t) must decrease",
    "--config.sde={'name': 'ddpm_table', 'n': 1}": "greater than or equal to 2",
    "--config.sde={'name': 'ddpm_table', 'beta_n': 1.0}": "less than 1",
    "--config.times.t_min=1.0": "must be in [0, 1)",
    "--config.data.flip=True": "is for images [H, W, C]",
    "--config.sde.name=builtins:print": "sde: builtins:print makes a NoneType, not a SDE",
    "--config.times.name=math:": "cannot import 'math:'",
    "--config.arms={'a': 3}": "arms.a = 3: input should be a valid dictionary",
    "--config.arms={'a': {'sde': 3}}": "arms.a: sde = 3",
    "--config.arms={'a': {'sead': 3}}": "arms.a: unknown config key sead (did you mean seed?)",
    "--config.arms={'a': {'arms': {'b': {}}}}": "arms.a.arms: an arm has no arms of its own",
    "--config.arms={'../a': {}}": "it names files",
}


@one_in(3)
@pytest.mark.parametrize("override", REFUSED, ids=lambda override: ascii(override)[1:60])
def test_the_command_line_says_what_is_wrong(override, tmp_path, capsys):
    command = "compare" if "arms" in override else "train"
    assert main([command, f"--config={MOONS}", f"--workdir={tmp_path / 'run'}", override]) == 2
    said = capsys.readouterr().err
    assert REFUSED[override] in said
    assert_brief(said)
    assert not (tmp_path / "run").exists()


SHORT = (
    "--config.train.steps=2",
    "--config.train.warm_up=0",
    "--config.train.log_every=1",
    "--config.train.sample_every=2",
    "--config.train.batch=8",
)


@pytest.mark.parametrize(
    "overrides",
    [
        ("--config.net.width=2", "--config.net.depth=1", "--config.train.clip=None"),
        pytest.param(("--config.sde={'name': 'VPSDE', 'beta_min': 20.0, 'beta_max': 0.1}",), marks=pytest.mark.slow),
        pytest.param(("--config.sde={'name': 'VESDE', 'sigma_max': 1e10}",), marks=pytest.mark.slow),
        pytest.param(("--config.sde={'name': 'ddpm_table', 'n': 2}",), marks=pytest.mark.slow),
        pytest.param(("--config.sigma_data=1e-6", "--config.parameterization=edm"), marks=pytest.mark.slow),
        pytest.param(("--config.train.ema=0.0", "--config.train.learning_rate=1.0"), marks=pytest.mark.slow),
    ],
    ids=lambda overrides: overrides[0][9:40],
)
def test_a_mutation_that_is_accepted_trains_for_two_steps(overrides, tmp_path):
    """By the command line, with a finite loss."""
    assert main(["train", f"--config={MOONS}:tiny", f"--workdir={tmp_path}", *SHORT, *overrides]) == 0
    (last,) = (row for row in rows(tmp_path / "metrics.jsonl") if row["step"] == 2)
    assert jnp.isfinite(last["loss"])


def test_an_override_changes_one_place_alone():
    """What the file of a config puts in two sections is changed in that of the override."""
    tree = read_config(MOONS, ["--config.samplers.ancestral.grid.log_snr_max=3.0"])
    grids = {label: sampler["grid"]["log_snr_max"] for label, sampler in tree["samplers"].items()}
    assert grids == {label: 3.0 if label == "ancestral" else 6.0 for label in grids}
