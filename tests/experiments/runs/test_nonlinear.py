"""Runs on an SDE of drift and diffusion alone: trained, resumed, sampled, measured beside linear ones; and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from runs import drawn, run, seal
from small_experiments import DISCRETE, UNWEIGHTED, clusters, small_experiment
from source_files import ROOT

import experiments
from experiments.main import main
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")
TOY, IMAGES = "configs/toy2d/nonlinear.py", "configs/digits/nonlinear.py"
LOGISTIC = ("--config.sde=LogisticSDE", "--config.objective.name=ssm_vr", "--config.parameterization=eps")
BY = "--config.sample.sampler=e"
NEEDS = "needs alpha(t) and sigma(t), and LogisticSDE is not a LinearSDE"


def sampler(step, grid="uniform_grid", **more):
    return f"--config.samplers={ {'e': {'step': step, 'grid': grid, 'n': 4, **more}} }"


EULER = sampler("euler_maruyama")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("objective=dsm", f"objective: dsm {NEEDS}; ism, ssm and ssm_vr train the score of any SDE"),
        ("parameterization=v", f"net: parameterization v {NEEDS}; eps, score and sigma_score serve any SDE"),
        ("weight=min_snr", f"weight: min_snr {NEEDS}; likelihood weighs any SDE"),
        ("times=importance", f"times: importance {NEEDS}; uniform draws t for any SDE"),
        ("mixed=True", f"net: mixed {NEEDS}; train the model itself"),
        ("times.t_min=0.0", "times: t_min = 0 must be in [0, 1) with sigma(t_min) > 0; without it, it is 1e-05"),
        (sampler("ancestral"), f"samplers.e: ancestral {NEEDS}; euler_maruyama serves any SDE"),
        (sampler("reverse_diffusion"), f"samplers.e: reverse_diffusion {NEEDS}; euler_maruyama serves any SDE"),
        (sampler("heun", "log_snr_grid"), f"samplers.e.grid: log_snr_grid {NEEDS}; uniform_grid serves any SDE"),
        (sampler("heun", denoise=True), f"samplers.e: denoise {NEEDS}; take denoise = False"),
        (sampler("euler_maruyama", corrector="langevin"), f"samplers.e: langevin {NEEDS}; euler_maruyama serves any SDE"),
        (sampler("heun", sde="VPSDE"), f"samplers.e.sde: a score under another SDE {NEEDS}; sample on the SDE that it was"),
        (
            sampler("heun", {"name": "uniform_grid", "t_min": 0.0}),
            "samplers.e: the score is infinite at t = 0, where sigma = 0",
        ),
    ],
)
def test_what_needs_alpha_and_sigma_is_refused_before_anything_compiles(override, says):
    """By its name, with the reason and the nearest that works."""
    override = override if override.startswith("--") else f"--config.{override}"
    with pytest.raises(ConfigError) as error:
        small_experiment(*LOGISTIC, *(() if ".samplers=" in override else (EULER,)), BY, override)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        (EULER, "--config.weight=likelihood", "--config.times=loss_aware"),
        (sampler("probability_flow"), "--config.objective=ism", "--config.conditioning=time", "--config.times=logit_normal"),
        (sampler("adaptive_sde"), "--config.objective=ssm", "--config.parameterization=score", UNWEIGHTED),
        (sampler("heun", "quadratic_grid"), "--config.objective=diffflow", UNWEIGHTED),
    ],
    ids=lambda overrides: " ".join(overrides[1:])[:60],
)
def test_what_needs_drift_and_diffusion_alone_is_built(overrides):
    small_experiment(*LOGISTIC, *overrides, BY)


def test_paths_depend_on_no_t():
    for times in ("--config.times=logit_normal", DISCRETE):
        with pytest.raises(ConfigError, match=r"times: diffflow depends on no t, and .*; take uniform"):
            small_experiment("--config.objective=diffflow", UNWEIGHTED, times)


def double_well(**options):
    """The options of a config whose SDE is the user's."""
    return f"--config.sde={ {'name': 'user_parts:DoubleWell', **options} }", *LOGISTIC[1:], EULER, BY


def test_a_user_s_sde_of_drift_and_diffusion_is_built():
    small_experiment(*double_well(std=0.5))


PATHS = ("--config.objective=diffflow", UNWEIGHTED)


@pytest.mark.slow
def test_paths_train_a_drift_beside_the_score():
    """At an option that was learned the loss is that of an SDE which has it, and its slope is that of the differences."""
    experiment = small_experiment(*double_well(learned=("std",)), *PATHS)
    initial, key, x = experiment.initial(jax.random.key(0)), jax.random.key(1), jnp.array([0.3, -0.8])
    assert initial.keys() == {"net", "sde"}
    at = lambda std: experiment.loss(initial | {"sde": {"std": jnp.float32(std)}}, None)(key, x, 0.5).score
    fixed = [small_experiment(*double_well(std=std), *PATHS) for std in (0.59, 0.6, 0.61)]
    left, exact, right = (float(each.loss(initial["net"], None)(key, x, 0.5).score) for each in fixed)
    value, slope = jax.value_and_grad(at)(0.6)
    assert float(value) == pytest.approx(exact, rel=1e-5)
    assert float(slope) == pytest.approx((right - left) / 0.02, rel=0.02)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of eight steps on the logistic SDE."""
    folder = tmp_path_factory.mktemp("nonlinear") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run("train", folder, *LOGISTIC, EULER, BY, "--config.train.steps=8") == 0
    return folder


@pytest.mark.slow
def test_a_run_goes_by_the_drift_that_it_learned(tmp_path):
    """Its option has moved, and samples and densities are of the SDE that has it."""
    assert run("train", tmp_path, *double_well(learned="std"), *PATHS, "--config.train.steps=8") == 0
    opened = experiments.open_run(tmp_path, "sde.name=user_parts:DoubleWell")
    assert float(opened.sde.std) == float(opened.params.sde["std"]) != 0.5
    assert np.isfinite(opened.log_prob(jnp.array([0.3, -0.8])))
    assert main(["sample", str(tmp_path), "--config.sde.name=user_parts:DoubleWell"]) == 0


@pytest.mark.slow
def test_a_resumed_run_is_the_whole_one(trained, tmp_path):
    """4 steps and 4 more are 8, to the last bit."""
    for steps in (4, 8):
        assert run("train", tmp_path, *LOGISTIC, EULER, BY, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path, 8) == seal(trained, 8)


@pytest.mark.slow
def test_a_run_is_sampled_and_edited_by_what_serves_it(trained, tmp_path, capsys):
    """Edits along the flow; the others, and the page, say what they need."""
    assert main(["sample", str(trained)]) == 0
    assert drawn(trained / "samples", "e_seed0").exists()
    assert main(["edit", str(trained), "--config.edit.by=round_trip", "--config.edit.rows=2"]) == 0
    for argv, says in (
        (["edit", str(trained), "--config.edit.by=sdedit"], f"edit.by: sdedit {NEEDS}; take round_trip or manipulate"),
        (["interpolate", str(trained)], f"interpolate: the way from t on {NEEDS}; edit by round_trip"),
        (["demo", str(trained), "--port=0"], "which has no alpha(t) and sigma(t) to expect x_0 and to fill in by: use sample"),
    ):
        capsys.readouterr()
        assert main(argv) == 2
        assert says in capsys.readouterr().err
    opened = experiments.open_run(trained)
    assert np.isfinite(opened.log_prob(jnp.array([0.3, -0.8])))
    with pytest.raises(TypeError, match="denoise needs alpha"):
        opened.denoise(jnp.zeros(2), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("config", [TOY, IMAGES])
def test_a_comparison_leaves_out_what_an_arm_does_not_have(config, tmp_path):
    """The bound, and the loss by noise: of the linear arms alone. Likelihood, samples and the process are of all."""
    assert main(["compare", f"--config={config}:tiny", f"--workdir={tmp_path}", "--config.evaluate.pairs=1"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    for arm in report["arms"]:
        linear = arm["name"] in ("vp", "dsm")
        assert bool(arm["bits_per_dim"]["bound"]) == bool(arm["loss_by_log_snr"]["loss"]) == linear
        assert np.isfinite(arm["bits_per_dim"]["mean"])
        assert [row["name"] for row in arm["samplers"]] == ["euler_maruyama", "heun", "probability_flow", "adaptive_sde"]
        assert (tmp_path / "sheets" / arm["name"] / "euler_maruyama.png").exists()
    for name in ("loss_log_snr.png", "process.png", "between.png"):
        assert (tmp_path / name).exists()


@pytest.mark.slow
def test_a_report_of_nonlinear_arms_alone_has_no_loss_by_noise(trained):
    assert main(["evaluate", str(trained)]) == 0
    assert not (trained / "loss_log_snr.png").exists()
    assert (trained / "curves.png").exists()


def test_a_dequantizer_by_the_bound_is_refused(tmp_path, capsys):
    overrides = ("--config.evaluate.dequantizer=variational", "--config.arms={}", "--config.sde=LogisticSDE")
    assert main(["train", f"--config={IMAGES}", f"--workdir={tmp_path}", *overrides]) == 2
    assert f"evaluate.dequantizer: 'variational', fitted by the bound, {NEEDS}; take 'uniform'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ssm_vr", "diffflow"])
def test_training_lowers_the_loss(objective):
    """The same noise before and after a hundred steps of Adam."""
    experiment = small_experiment(*LOGISTIC, f"--config.objective.name={objective}", UNWEIGHTED, EULER, BY)
    params, x, optimizer = experiment.initial(jax.random.key(0)), clusters(512), optax.adam(1e-2)

    def mean(params, key):
        t = jnp.linspace(0.02, 1.0, len(x))
        one = jax.vmap(lambda key, x, t: experiment.loss(params, None)(key, x, t).score)
        return one(jax.random.split(key, len(x)), x, t).mean()

    @jax.jit
    def descend(state, key):
        update, memory = optimizer.update(jax.grad(mean)(state[0], key), state[1])
        return (optax.apply_updates(state[0], update), memory), None

    (after, _), _ = jax.lax.scan(descend, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 100))
    assert mean(after, jax.random.key(2)) < mean(params, jax.random.key(2)) - 0.05
