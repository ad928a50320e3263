"""What is not finite is seen where it happens, said in a sentence, and neither drawn nor counted among the numbers."""

import json
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from hypothesis import given, settings
from hypothesis import strategies as st
from sdes import KIN, Straight
from slow import one_in, slow_for

import losses
import samplers
from experiments.build.build import build
from experiments.build.sampler import BoundSampler
from experiments.config.parts import STEP, TIMES, WEIGHT
from experiments.config.reading import read_config
from experiments.config.schema import Config, Named
from experiments.config.tiny import tiny
from experiments.data.dataset import load
from experiments.data.pictures import first_shown
from experiments.data.sources import open_sources
from experiments.evaluation.features import feature_space
from experiments.evaluation.reference import Reference
from experiments.evaluation.report import write_report
from experiments.evaluation.report_data import report_data
from experiments.evaluation.results import baseline, evaluate
from experiments.main import main
from experiments.runtime.errors import NumericsError
from experiments.sampling.draw import drawing, save_images, unsound
from experiments.sampling.interpolation import interpolate_examples
from losses import loss_aware
from samplers import ancestral, chain, ddim, encode, inpaint, langevin, probability_flow, resample, solve, uniform_grid
from sde_lib import (
    CLD,
    EDMSDE,
    SDE,
    VESDE,
    VPSDE,
    CosineVPSDE,
    GeometricVPSDE,
    LogLinearVPSDE,
    RectifiedFlowSDE,
    Score,
    SubVPSDE,
    check,
    ddpm_table,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "support"))


NETWORKS = {"nan": jnp.nan, "inf": jnp.inf, "huge": 1e30, "zero": 0.0, "exploding": 1.0, "sound": -1.0}
STEPS = {name: getattr(samplers, name) for name in STEP.names} | {
    "ancestral clipped": partial(ancestral, clip=1.0),
    "ancestral learned": lambda sde, score: ancestral(sde, score, v=lambda x, t: jnp.abs(score(x, t))),
    "langevin sample": partial(langevin, norm="sample"),
    "langevin batch": partial(langevin, norm="batch"),
    "edm_heun churned": partial(samplers.edm_heun, churn=0.05),
}
ADAPTIVE = "probability_flow", "adaptive_sde"


def broken(value, x, t):
    """A network that emits one value; at 1 it is 1e4 x^3, and at -1 the score of N(0, I)."""
    return jnp.where(value == 1, 1e4 * x**3, jnp.where(value == -1, -x, value))


@cache
def solutions(name):
    """Under every network, alone."""
    sde = CLD() if name == "sscs" else VPSDE()
    grid = uniform_grid(sde, 1 if name in ADAPTIVE else 6, 1e-3)
    one = lambda value: solve(
        jax.random.key(0),
        STEPS[name](sde, partial(broken, value)),
        jnp.array([0.5, -2.0]),
        grid[::-1] if name == "ddim_inversion" else grid,
    )
    run = jax.jit(jax.vmap(one, axis_name="batch"))
    values = jnp.array(list(NETWORKS.values()))
    if name != "langevin batch":  # in which a sample is not alone
        return run(values)
    alone = [run(value[None]) for value in values]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *alone)


@one_in(12)
@pytest.mark.parametrize("name", STEPS)
def test_every_sampler_under_every_network_ends_and_knows(name):
    """The flag is the first state of the path that is not finite; nan and inf are seen at once, a sound score never."""
    solution = jax.tree.map(np.asarray, solutions(name))
    moves = solution.path.shape[1]
    finite = np.isfinite(solution.path).all(axis=2)
    first = np.where(finite.all(axis=1), moves, finite.argmin(axis=1))
    np.testing.assert_array_equal(solution.finite, first)
    found = dict(zip(NETWORKS, solution.finite, strict=True))
    assert found["nan"] == found["inf"] == 0
    assert found["zero"] == found["sound"] == moves
    spent = dict(zip(NETWORKS, solution.nfe, strict=True))
    assert max(spent.values()) <= (12_001 if name in ADAPTIVE else 6 * 5)
    if name in ADAPTIVE:
        assert spent["nan"] < 100
        assert not solution.gave_up[list(NETWORKS).index("nan")]


def test_the_first_bad_move_is_remembered_whatever_x_is_later():
    """A network that is nan around t = 0.45 alone, and a mask that covers it all up at once."""
    sde, grid = VPSDE(), uniform_grid(VPSDE(), 10, 0.0)
    score = lambda x, t: jnp.where(jnp.abs(t - 0.5) < 0.01, jnp.nan, -x)
    for around in (lambda step: step, lambda step: inpaint(step, sde, jnp.zeros(2), jnp.array([True, False]))):
        solution = solve(jax.random.key(0), around(ddim(sde, score)), jnp.ones(2), grid)
        assert int(solution.finite) == 5
        assert not bool(solution.gave_up)
    forgetting = samplers.Step(
        lambda x: (), lambda key, x, memory, t, s: (jnp.where(jnp.abs(t - 0.5) < 0.01, jnp.nan, jnp.ones(2)), memory), 1
    )
    solution = solve(jax.random.key(0), forgetting, jnp.ones(2), grid)
    assert np.isfinite(solution.x).all()
    assert int(solution.finite) == 5


def test_skipped_moves_are_finite_and_the_last_denoising_counts():
    """Of a padded grid every move, and `final` as one more."""
    sde = VPSDE()
    grid = jnp.pad(uniform_grid(sde, 3), (0, 4), mode="edge")
    step = ddim(sde, lambda x, t: -x)
    assert int(solve(jax.random.key(0), step, jnp.ones(2), grid).finite) == 7
    assert int(solve(jax.random.key(0), step, jnp.ones(2), grid, lambda x, t: x).finite) == 8
    assert int(solve(jax.random.key(0), step, jnp.ones(2), grid, lambda x, t: x / 0).finite) == 7


@pytest.mark.slow
def test_running_out_of_steps_is_not_a_broken_network():
    """A sound score in too few steps gives up, wherever the solver is inside; nan never does; both are nan."""
    sde, values = VPSDE(), jnp.array([-1.0, jnp.nan])
    sound = partial(broken, -1.0)
    few = {"rtol": 1e-9, "atol": 1e-9, "max_steps": 16}

    def deep_inside(value):
        flow = chain(langevin(sde, sound), probability_flow(sde, partial(broken, value), **few))
        return resample(inpaint(flow, sde, jnp.zeros(2), jnp.array([True, False])), sde, 2)

    steps = deep_inside, lambda value: samplers.adaptive_sde(sde, partial(broken, value), rtol=1e-4, max_steps=20)
    for make in steps:
        one = lambda value, make=make: solve(jax.random.key(0), make(value), jnp.ones(2), uniform_grid(sde, 1))
        solution = jax.jit(jax.vmap(one))(values)
        assert solution.finite.tolist() == [0, 0]
        assert solution.gave_up.tolist() == [True, False]
    encoding = jax.jit(jax.vmap(lambda value: encode(sde, partial(broken, value), jnp.ones(2), **few)))(values)
    assert encoding.gave_up.tolist() == [True, False]
    assert np.isnan(encoding.log_prob).all()
    assert int(encoding.nfe[1]) < 100


LOSSES = {
    "nan": np.where(np.arange(256) == 3, np.nan, 1.0),
    "all nan": np.full(256, np.nan),
    "inf": np.where(np.arange(256) < 200, np.inf, 1.0),
    "too large to square": np.full(256, 1e25),
    "zero": np.zeros(256),
}


@jax.jit
def after(losses_of):
    """What `loss_aware` has learned on VP from 256 losses, made of the t that it drew, and (t, 1/p) of 50,000 draws then."""
    times = loss_aware(VPSDE(), 16)
    t, _ = times.sample(jax.random.key(0), times.init(), 256)
    memory = times.update(times.init(), t, losses_of(t))
    later = times.update(memory, t, 1 + jnp.sin(9 * t) ** 2)
    return memory, [times.sample(jax.random.key(1), known, 50_000) for known in (memory, later)]


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_poisons_the_draw_of_t(name):
    """After it and after sound ones, t and 1/p are finite, and 1/p still integrates one to the length of the interval."""
    memory, draws = after(jax.tree_util.Partial(lambda loss, t: loss, jnp.asarray(LOSSES[name], jnp.float32)))
    assert np.isfinite(memory.square).all()
    for t, inverse_density in draws:
        assert np.isfinite(t).all()
        assert float(inverse_density.mean()) == pytest.approx(1 - VPSDE().t_min, rel=1e-2)


def test_a_bin_that_starves_is_drawn_from_still():
    """Where the losses of most bins are zero, a hundredth of the draws goes to all, by even shares."""
    memory, ((t, inverse_density), _) = after(jax.tree_util.Partial(lambda t: jnp.where(t > 0.9, 1.0, 0.0)))
    cold = np.asarray(memory.square) == 0
    assert cold.sum() >= 10
    y = np.asarray(-jax.vmap(VPSDE().log_snr)(t))
    edges = np.linspace(-VPSDE().log_snr(1e-5), -VPSDE().log_snr(1.0), 17)
    counts = np.histogram(y, edges)[0]
    np.testing.assert_allclose(counts[1:][cold[1:]] / 50_000, 0.01 / 16, rtol=0.1)
    assert np.isfinite(inverse_density).all()


number = lambda low, high: st.floats(low, high, width=32)
SPACES = {
    "VPSDE": st.builds(VPSDE, number(2**-10, 5), number(5, 40)),
    "SubVPSDE": st.builds(SubVPSDE, number(2**-10, 5), number(5, 40)),
    "VESDE": st.builds(VESDE, number(2**-13, 1), number(2, 2**20)),
    "EDMSDE": st.builds(EDMSDE, number(2**-13, 1), number(2, 2**20)),
    "GeometricVPSDE": st.builds(GeometricVPSDE, number(2**-20, 2**-5), number(0.5, 1 - 2**-13)),
    "LogLinearVPSDE": st.builds(LogLinearVPSDE, number(2, 25), number(-25, -1)),
    "RectifiedFlowSDE": st.builds(RectifiedFlowSDE, number(2**-16, 0.25)),
    "CosineVPSDE": st.builds(CosineVPSDE, number(0, 0.125), number(0.5, 0.9921875)),
    "TableVPSDE": st.builds(lambda first, last: ddpm_table(50, first, last), number(2**-14, 2**-7), number(2**-6, 0.5)),
    "Straight": st.builds(Straight),
}
WEIGHTS = {name: getattr(losses, name) for name in WEIGHT.names}
DRAWS = {name: getattr(losses, name) for name in TIMES.names}


def schedules(sde, t):
    """What the schedules are at t, by name."""
    eps = jnp.ones(())
    return {
        "alpha": sde.alpha(t),
        "sigma": sde.sigma(t),
        "diffusion": sde.diffusion(t),
        "drift": jnp.exp(jnp.tanh(sde.drift(eps, t))),  # of either sign
        "log_snr": jnp.exp(jnp.tanh(sde.log_snr(t))),
        "target": eps / sde.sigma(t),
        **{name: weight(sde, t) for name, weight in WEIGHTS.items()},
    }


@jax.jit
def everything(sde, t):
    """The schedules at times [n], and draws of t with their 1/p."""

    def drawn(make):
        times = make(sde, 10) if make is losses.discrete else make(sde)
        return times.sample(jax.random.key(0), times.init(), 32)

    return jax.vmap(partial(schedules, sde))(t), {name: drawn(make) for name, make in DRAWS.items()}


@slow_for("TableVPSDE")
@slow_for(*KIN)
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_schedules_are_finite_and_positive_wherever_they_are_asked(name, data):
    """In float32, at both ends and between; sigma to 1e-4 of its value in float64."""
    sde = data.draw(SPACES[name])
    inner = data.draw(st.lists(number(0, 1), min_size=6, max_size=6))
    t = jnp.array([sde.t_min, np.nextafter(np.float32(sde.t_min), np.float32(1)), *np.maximum(inner, sde.t_min), 1.0])
    values, draws = everything(sde, t)
    for what, value in values.items():
        assert np.isfinite(value).all(), what
        least = value[jnp.array([0, 1])].min() >= 0 if what == "soft_truncation" else (value > 0).all()
        assert least, what  # which is 0 at t_min by its definition
    for what, (times, inverse_density) in draws.items():
        assert ((times >= sde.t_min) & (times <= 1)).all(), what
        assert (np.isfinite(inverse_density) & (inverse_density > 0)).all(), what
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), sde)
        exact = [jax.vmap(f)(jnp.asarray(np.asarray(t), jnp.float64)) for f in (wide.sigma, wide.alpha)]
    np.testing.assert_allclose(values["sigma"], exact[0], rtol=1e-4)
    np.testing.assert_allclose(values["alpha"], exact[1], rtol=1e-3)


def test_an_sde_whose_squares_overflow_is_refused_for_that():
    for sde in (VESDE(0.01, 1e20), VESDE(1e-25, 1.0)):
        with pytest.raises(ValueError, match=r"sigma\(t\)\^2, in float32, must be finite and positive: sigma\(.*\) = "):
            check(sde)
    check(VESDE(0.01, 1e10))


class Sometimes(linen.Module):
    """nan for an x whose first value is above `above`; one, else."""

    above: float = 0.0

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        first = x.reshape(len(x), -1)[:, 0].reshape(-1, *[1] * (x.ndim - 1))
        return jnp.where(first > self.above, jnp.nan, jnp.ones_like(x))


def experiment_of(file, **sections):
    """The experiment of a config with other sections, and its data."""
    config = Config.model_validate(read_config(file, [], {"tiny": tiny}) | sections)
    data = load(open_sources(config.data), config.data, config.seed)
    return build(config, data.shape), data


def digits(above, sampler="ancestral"):
    """Digits whose network is nan above that, with one sampler."""
    tree = read_config("configs/digits/vp.py:tiny", [], {"tiny": tiny})
    cheap = tree["evaluate"] | {"probes": 1, "bound_times": 0, "pairs": 1}
    net = {"name": f"{__name__}:Sometimes", "above": above}
    one = {"samplers": {sampler: tree["samplers"][sampler]}, "sample": tree["sample"] | {"sampler": sampler}}
    return experiment_of("configs/digits/vp.py:tiny", net=net, evaluate=cheap, **one)


def test_bad_samples_are_a_sentence_and_no_picture(tmp_path):
    """The first bad step over the samples and its time, and their number; finite ones are a picture."""
    path = tmp_path / "picture.png"
    for above in (0.5, 1e9):
        experiment, _ = digits(above)
        sampler = experiment.config.samplers["ancestral"]
        bound = BoundSampler(experiment, sampler)
        drawn, grid = drawing(bound)({}, bound.rows(0, 16), 8), bound.grid(8)
        if above == 1e9:
            assert unsound(drawn, grid) is None
            save_images(drawn, experiment, path)
            assert path.exists()
            continue
        bad = int((~drawn.finite).sum())
        assert 0 < bad < 16
        first = int(drawn.moves.min()) + 1
        said = f"non-finite at step {first}/8, t={float(grid[first]):.3g}, {bad} of 16 samples"
        assert unsound(drawn, grid) == said
        with pytest.raises(NumericsError, match=rf"{said}; no picture is written to .*\ntry another .*, more steps .*earlier"):
            save_images(drawn, experiment, path)
        assert not path.exists()


@pytest.mark.slow
def test_what_is_wrong_with_a_solver_is_said():
    """Where it runs out of steps, and where the last denoising is at fault."""
    experiment, _ = digits(1e9, "probability_flow")
    flow = experiment.config.samplers["probability_flow"]
    short = flow.model_copy(update={"step": Named.model_validate({"name": "probability_flow", "max_steps": 2})})
    bound = BoundSampler(experiment, short)
    drawn = drawing(bound)({}, bound.rows(0, 8), 1)
    said = unsound(drawn, BoundSampler(experiment, short).grid(1))
    assert said
    assert said.endswith("8 of 8 samples; in 8 the solver ran out of its max_steps")
    drawn = drawn._replace(moves=np.full(8, 1), gave_up=np.zeros(8, bool))
    assert (
        unsound(drawn, BoundSampler(experiment, short).grid(1))
        == "non-finite at the last denoising, after 1 steps, 8 of 8 samples"
    )


def overflowing(sde: SDE, score: Score) -> samplers.Step:
    """A user's step: 1e30 times as large, and inf in the second."""
    return samplers.Step(lambda x: (), lambda key, x, memory, t, s: (1e30 * (2 + s) * x, memory), 0)


@pytest.mark.slow
def test_a_bad_picture_ends_no_training_but_it_ends_sample(tmp_path, capsys):
    """A step that overflows: train warns and is done, sample exits with 4, and neither writes a picture."""
    common = [f"--workdir={tmp_path}", "--config=configs/toy2d/moons.py", "--config.train.steps=4", "--config.net.width=16"]
    common += ["--config.train.batch=64", "--config.train.warm_up=2", "--config.train.sample_every=4", "--config.sample.n=16"]
    common += ["--config.train.steps_per_call=1", f"--config.samplers.ancestral.step={__name__}:overflowing"]
    assert main(["train", *common]) == 0
    assert "no picture of step 4: non-finite at step 2/100, t=0.9" in capsys.readouterr().out
    assert main(["sample", *common]) == 4
    assert "non-finite at step 2/100, t=0.9" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("networks", [{"never": -1e9}, {"never": -1e9, "some": 2.0}])
def test_a_report_counts_what_is_not_finite_and_draws_none_of_it(tmp_path, networks):
    """A network of nan, and one of nan now and then: every file but those of no finite sample, and all of it said."""
    arms, pictures = [], {}
    for name, above in networks.items():
        experiment, data = digits(above)
        config = experiment.config
        reference = Reference.of(config, data, feature_space(config, data), tmp_path)
        measured, pictures[name] = evaluate(experiment, {}, data, reference)
        untrained = {"parameters": 0, "train_seconds": 0.0, "steps_per_second": 0.0, "final_loss": np.nan}
        arms.append({"name": name, "label": name, "changes": {}, "curve": {"step": [], "loss": []}} | untrained | measured)
    results = report_data(config, arms, data, reference, baseline(config, data, reference), "")
    stale = [tmp_path / "sheets" / "never" / "ancestral.png", tmp_path / "reverse_process.gif"]
    stale[0].parent.mkdir(parents=True)
    for path in stale:
        path.write_bytes(b"of an earlier report")
    write_report(tmp_path, results, pictures, first_shown(experiment.scaler, data.test))

    written, html = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.html").read_text()
    rows = {arm["name"]: {row["name"]: row for row in arm["samplers"]} for arm in written["arms"]}
    assert rows["never"]["ancestral"]["non_finite"] == 16
    assert rows["never"]["ancestral"]["frechet"] == {"mean": None, "std": None, "values": []}
    if "some" in rows:
        some = rows["some"]["ancestral"]["non_finite"]
        assert 0 < some < 16
        assert len(pictures["some"]["grids"]["ancestral"]) == 16 - some
        assert f"some, ancestral: {some} of 16 not finite (non-finite at step " in html
        assert (tmp_path / "sheets" / "some" / "ancestral.png").exists()
    assert "never, ancestral: 16 of 16 not finite (non-finite at step 1/8, t=" in html
    assert "never: the likelihood of 8 of 8 held-out examples is not finite" in html
    assert "never: the held-out loss is not finite at 4 of 4 noise levels" in html
    assert "never: no picture of the reverse process, 8 of its samples are not finite" in html
    assert "never: no picture of the way between examples, 9 of its frames are not finite" in html
    assert "— (8 not finite)" in html
    assert ">nan" not in html
    assert not stale[0].exists()
    assert stale[1].exists() == (written["arms"][-1]["process_non_finite"] == 0)


@pytest.mark.slow
def test_no_frame_between_examples_is_drawn_of_nan():
    experiment, data = digits(-1e9)
    with pytest.raises(NumericsError, match="frames are not finite: probability flow"):
        interpolate_examples(experiment, {}, data.test)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["configs/toy2d/moons.py", "configs/digits/vp.py:tiny"])
def test_bfloat16_changes_the_network_alone(file):
    """The same loss at every noise level to the network's rounding; where it emits nothing, the same to the last bit or two."""
    loss, net = {}, {"net": {"name": "MLP", "width": 32, "depth": 2}} if "moons" in file else {}
    for compute in ("float32", "bfloat16"):
        experiment, data = experiment_of(file, compute=compute, **net)
        params = experiment.model.init(jax.random.key(0), jnp.zeros(experiment.shape))
        params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), params)  # none at zero
        t = jax.vmap(experiment.sde.time_at)(jnp.linspace(-9.0, 11.0, 9))
        x_0 = experiment.scaler.place(jnp.asarray(data.test[:16]), 0.5)

        @jax.jit
        def of(params, experiment=experiment, x_0=x_0, t=t):
            each = jax.vmap(jax.vmap(experiment.loss(params, None), (0, 0, None)), (None, None, 0))
            return each(jax.random.split(jax.random.key(1), 16), x_0, t).score

        loss[compute] = [of(params).mean(1), of(jax.tree.map(jnp.zeros_like, params))]
        assert loss[compute][0].dtype == jnp.float32
    np.testing.assert_allclose(loss["bfloat16"][0], loss["float32"][0], rtol=2e-2)
    assert (loss["bfloat16"][0] != loss["float32"][0]).any()
    np.testing.assert_array_max_ulp(loss["bfloat16"][1], loss["float32"][1], maxulp=2)  # XLA fuses two programs in two ways
