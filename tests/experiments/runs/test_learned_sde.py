"""Runs that learn options of their SDE: what is refused, that all goes by the learned ones, the same bits when resumed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from runs import run, samples, seal
from small_experiments import ONE_SAMPLER, UNWEIGHTED, clusters, small_experiment
from source_files import ROOT

import experiments
from experiments.build.optimizer import optimizer_of
from experiments.build.sampler import sample_sampler
from experiments.data.dataset import Batch
from experiments.evaluation.likelihood import measure_bits
from experiments.main import main
from experiments.runtime.errors import ConfigError
from experiments.sampling.draw import drawing
from experiments.weights import native

pytestmark = pytest.mark.usefixtures("in_root")
NAMES = ("log_snr_max", "log_snr_min", "knots")
SDE = f"--config.sde={{'name': 'LearnedVPSDE', 'learned': {NAMES}}}"
BOUND = ("--config.objective=continuous_vlb", UNWEIGHTED)
BY = "--config.sample.sampler=ancestral"
LEARNED = (SDE, *BOUND, BY)
UNDO = "times importance would undo what the SDE learns, the share of t that each noise has; take uniform"
OTHER = "samplers.a.sde = VPSDE: its noise has to lie within that of training, which is learned; take None"
ON_VP = "--config.samplers={'a': {'step': 'ddim', 'grid': 'log_snr_grid', 'n': 4, 'sde': 'VPSDE'}}"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            (SDE, "--config.weight=likelihood"),
            "objective dsm trains no SDE; take continuous_vlb or diffflow, with weight = None",
        ),
        ((SDE, *BOUND, "--config.times=importance"), UNDO),
        ((SDE, *BOUND, ON_VP, "--config.sample.sampler=a"), OTHER),
        (
            ("--config.sde={'name': 'VPSDE', 'learned': ('beta_max',)}", *BOUND),
            "sde.learned: beta_max has a range, to which nothing holds a gradient; take sde.name = LearnedVPSDE",
        ),
        (
            ("--config.sde={'name': 'VESDE', 'learned': ('sigma_max',)}", *BOUND),
            "has a range, to which nothing holds a gradient; take prior_mean or sde.name = LearnedVPSDE",
        ),
        (
            ("--config.sde={'name': 'ddpm_table', 'learned': ('beta_n',)}", *BOUND),
            "beta_n is no number in the formulas of ddpm_table, which a gradient would move; take sde.name = LearnedVPSDE",
        ),
        (
            ("--config.sde={'name': 'LearnedVPSDE', 'learned': 'knot'}", *BOUND),
            "sde.learned: LearnedVPSDE has no option knot (did you mean knots?)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(overrides, says):
    with pytest.raises(ConfigError) as error:
        small_experiment(*overrides)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("sde", "names"), [("LogLinearVPSDE", NAMES[:2]), ("PolynomialVPSDE", ("a", "b", "c")), ("VESDE", ("prior_mean",))]
)
def test_options_of_other_sdes_that_may_have_any_value_are_learned_too(sde, names):
    experiment = small_experiment(f"--config.sde={{'name': '{sde}', 'learned': {names}}}", *BOUND)
    assert jax.eval_shape(experiment.initial, jax.random.key(0))["sde"].keys() == {*names}


def moved(experiment, seed=0):
    """Parameters of which none is where training begins."""
    rng = np.random.default_rng(seed)
    initial = experiment.initial(jax.random.key(0))

    def change(scale, tree):
        return jax.tree.map(lambda a: jnp.asarray(a + scale * rng.standard_normal(a.shape), jnp.float32), tree)

    return {"net": change(0.1, initial["net"]), "sde": change(0.7, initial["sde"])}


def fixed_at(sde, *overrides):
    """The experiment whose SDE has these options, and learns none."""
    options = {name: tuple(map(float, leaf)) if leaf.ndim else float(leaf) for name, leaf in sde.items()}
    return small_experiment(f"--config.sde={dict(name='LearnedVPSDE', **options)}", *BOUND, BY, *overrides)


@pytest.mark.slow
def test_a_learned_sde_is_the_sde_of_its_learned_options():
    """The loss, the score, samples and bits of a run are those of a fixed SDE with the options that were learned."""
    exact = "--config.evaluate.probes=0", "--config.evaluate.bound_times=8", "--config.evaluate.t_min=0.01"
    experiment = small_experiment(*LEARNED, *exact)
    params = moved(experiment)
    fixed, net = fixed_at(params["sde"], *exact), params["net"]
    key, x = jax.random.key(1), jnp.array([0.4, -0.9])
    losses = [float(each.loss(of, key)(key, x, 0.3).score) for each, of in ((experiment, params), (fixed, net))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    mine, theirs = experiment.network(params), fixed.network(net)
    np.testing.assert_allclose(experiment.score(mine)(x, 0.4), fixed.score(theirs)(x, 0.4), rtol=1e-5)
    samplers = sample_sampler(experiment), sample_sampler(fixed)
    drawn = [drawing(s)(p, s.rows(0, 8), 2).levels for s, p in zip(samplers, (mine, theirs), strict=True)]
    np.testing.assert_allclose(*drawn, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(samplers[0].at(mine).grid(), samplers[1].grid())
    bits = [measure_bits(e, p, Batch(np.asarray(clusters(8)))) for e, p in ((experiment.at(mine), mine), (fixed, theirs))]
    for name in ("flow", "bound"):
        np.testing.assert_allclose(*(getattr(each, name) for each in bits), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_gradient_of_the_options_is_that_of_the_bound():
    """Of a run it reaches every one; of the network it is what it would be beside a fixed SDE."""
    experiment = small_experiment(*LEARNED)
    params = moved(experiment)
    fixed, key, x = fixed_at(params["sde"]), jax.random.key(1), jnp.array([0.4, -0.9])
    whole = jax.grad(lambda params: experiment.loss(params, key)(key, x, 0.3).score)(params)
    alone = jax.grad(lambda net: fixed.loss(net, key)(key, x, 0.3).score)(params["net"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole["net"], alone)
    assert all(np.abs(leaf).max() > 0 for leaf in whole["sde"].values())


def test_options_have_a_norm_of_their_own_and_do_not_decay():
    """A gradient of the network that is clipped leaves that of the SDE as it is, and at no gradient nothing moves."""
    config = small_experiment(*LEARNED, "--config.train.weight_decay=0.5", "--config.train.clip=0.1").config
    params = {"net": {"w": jnp.ones(2)}, "sde": {"knots": jnp.ones(2)}}
    optimizer = optimizer_of(config)
    update, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    after = optax.apply_updates(params, update)
    np.testing.assert_array_equal(after["sde"]["knots"], 1.0)
    large = {"net": {"w": 1e6 * jnp.ones(2)}, "sde": {"knots": 1e-3 * jnp.ones(2)}}
    _, state = optimizer.update(large, optimizer.init(params), params)
    moments = [leaf for leaf in jax.tree.leaves(state["sde"]) if leaf.shape == (2,)]
    np.testing.assert_allclose(moments[0], 0.1 * 1e-3, rtol=1e-5)  # 1 - beta1 of it


FEW = ("--config.train.steps=8", "--config.train.checkpoint_every=4", "--config.train.learning_rate=0.05", ONE_SAMPLER)
EVALUATED = ("--config.evaluate.likelihood=8", "--config.evaluate.tolerance=1e-2", "--config.evaluate.bound_times=4")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a run of eight steps."""
    folder = tmp_path_factory.mktemp("learned") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run("train", folder, *LEARNED, *FEW, *EVALUATED) == 0
    return folder


@pytest.mark.slow
def test_a_run_that_was_stopped_is_one_that_was_not(learned, tmp_path):
    """The options, their average and moments are in its checkpoints."""
    for steps in (4, 8):
        assert run("train", tmp_path / "parts", *LEARNED, *FEW, *EVALUATED, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path / "parts", 8) == seal(learned, 8)
    assert {f"{part}/sde/{name}" for part in ("params", "ema") for name in NAMES} <= seal(learned, 8).keys()


@pytest.mark.slow
def test_all_that_a_run_does_is_by_what_it_learned(learned, tmp_path):
    """Its options have moved; samples, a report, edits and ways are made; export and import are the same run."""
    opened = experiments.open_run(learned)
    options = opened.params.sde
    assert float(jnp.abs(options["knots"]).min()) > 1e-4
    assert float(opened.sde.log_snr_max) == float(options["log_snr_max"]) != pytest.approx(13.3, abs=1e-3)
    folder = str(learned)
    for command in (["sample", folder], ["evaluate", folder], ["edit", folder, "--config.edit.rows=2"]):
        assert main(command) == 0
    assert main(["interpolate", folder, "--config.interpolate.pairs=2"]) == 0
    report = json.loads((learned / "report.json").read_text())
    assert np.isfinite(report["arms"][0]["bits_per_dim"]["mean"])
    np.testing.assert_allclose(opened.sample(0, 64).levels, samples(learned, "ancestral_seed0"), rtol=1e-4, atol=1e-4)
    assert main(["export", folder, str(tmp_path / "out")]) == 0
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "again")]) == 0
    assert {f"sde.{name}" for name in NAMES} <= native.read_weights(tmp_path / "again").tensors.keys()
    again = experiments.open_run(tmp_path / "again")
    np.testing.assert_array_equal(again.sample(0, 64).levels, opened.sample(0, 64).levels)
    assert main(["replay", folder, "--step=5"]) == 0


@pytest.mark.slow
def test_what_has_no_place_for_a_learned_sde_is_refused(learned, tmp_path, capsys):
    """A published layout, and a guide, which would be of another SDE."""
    assert main(["export", str(learned), str(tmp_path / "out"), "--layout=diffusers"]) == 2
    assert "has no place for a learned SDE" in capsys.readouterr().err
    by = {"step": "ddim", "grid": "uniform_grid", "n": 2, "guidance": {"name": "autoguidance", "run": str(learned)}}
    assert run("train", tmp_path / "guided", *LEARNED, *FEW[:3], *EVALUATED, f"--config.samplers.ancestral={by}") == 2
    assert "have no SDE in common, as sde.learned trains it: train both on a fixed one" in capsys.readouterr().err


@pytest.mark.slow
def test_adapters_leave_the_sde_of_their_base_as_it_is(learned, tmp_path):
    """It is that of every sample and of what is exported, merged."""
    adapters = tmp_path / "adapters"
    lora = (SDE, f"--config.lora.run={learned}", "--config.lora.rank=2", "--config.weight=likelihood", BY)
    assert run("train", adapters, *lora, *FEW, *EVALUATED) == 0
    base, opened = experiments.open_run(learned), experiments.open_run(adapters)
    assert float(opened.sde.log_snr_max) == float(base.sde.log_snr_max)
    assert not any("/sde/" in name for name in seal(adapters, 8))
    assert main(["export", str(adapters), str(tmp_path / "out")]) == 0
    fixed = native.read_weights(tmp_path / "out").config["sde"]
    np.testing.assert_array_equal(np.float32(fixed["knots"]), base.params.sde["knots"])
    assert not fixed["learned"]
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "again")]) == 0
    again = experiments.open_run(tmp_path / "again")
    np.testing.assert_allclose(again.sample(0, 8).levels, opened.sample(0, 8).levels, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_codec_is_trained_with_score_and_sde(tmp_path):
    """params = {net, codec, sde}: a flow of the moons, stopped and resumed."""
    flow = (*LEARNED, "--config.codec.by={'name': 'real_nvp', 'couplings': 2, 'width': 8}")
    for folder, steps in (("whole", 8), ("parts", 4), ("parts", 8)):
        assert run("train", tmp_path / folder, *flow, *FEW, *EVALUATED, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path / "whole", 8) == seal(tmp_path / "parts", 8)
    assert {name.split("/")[1] for name in seal(tmp_path / "whole", 8) if name.startswith("params/")} == {"net", "codec", "sde"}
    assert main(["evaluate", str(tmp_path / "whole")]) == 0
