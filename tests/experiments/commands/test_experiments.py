"""The command line from end to end: train, resume, sample, evaluate, compare, and what it says to mistakes."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, drawn, metrics, run, seal
from source_files import ROOT

from experiments.commands import compare
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.order import ordered
from experiments.main import main
from experiments.runtime.errors import NumericsError

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.mark.slow
def test_resuming_is_not_stopping(tmp_path):
    """8 steps at once and 4 + 4 by the same command: the same losses, to the last bit."""
    assert run("train", tmp_path / "whole", "--config.train.steps=8") == 0
    assert run("train", tmp_path / "halves", "--config.train.steps=4") == 0
    assert run("train", tmp_path / "halves", "--config.train.steps=8") == 0
    whole, halves = (
        [(row["step"], row["loss"], row["grad_norm"]) for row in metrics(tmp_path / w)] for w in ("whole", "halves")
    )
    assert whole == halves
    assert [step for step, *_ in whole] == [4, 8]


@pytest.mark.slow
def test_a_run_in_an_odd_folder_is_a_run(tmp_path):
    """4 steps in r, and 2 + 2 in [lab] x/r and its fork: the same checkpoint and the same picture, to the last bit."""
    plain, odd = tmp_path / "r", tmp_path / "[lab] x" / "r"
    assert run("train", plain, "--config.train.steps=4") == 0
    assert run("train", odd, "--config.train.steps=2") == 0
    assert run("train", odd, "--config.train.steps=4") == 0
    assert main(["ckpt", "verify", str(odd)]) == 0
    for folder in (plain, odd):
        assert run("sample", folder, "--config.train.steps=4") == 0
    assert run("train", odd, f"--fork={tmp_path}/[f]/*", "--config.train.steps=4") == 0
    assert seal(plain, 4) == seal(odd, 4) == seal(tmp_path / "[f]" / "*", 4)
    one, other = (next((folder / "samples").glob("ancestral_seed0_*.png")) for folder in (plain, odd))
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_several_steps_per_call_are_single_steps(tmp_path):
    assert run("train", tmp_path / "one", "--config.train.steps=8") == 0
    assert run("train", tmp_path / "four", "--config.train.steps=8", "--config.train.steps_per_call=4") == 0
    one, four = ([row["loss"] for row in metrics(tmp_path / w)] for w in ("one", "four"))
    np.testing.assert_allclose(one, four, rtol=1e-5)


@pytest.mark.slow
def test_training_learns(tmp_path):
    """Against the same steps, batches and noise at a rate of nearly zero, the loss falls by a tenth or more."""
    loss = {}
    for rate in (2e-3, 1e-12):
        more = f"--config.train.learning_rate={rate}", "--config.train.log_every=100", "--config.net.width=64"
        assert run("train", tmp_path / str(rate), "--config.train.steps=200", *more) == 0
        loss[rate] = metrics(tmp_path / str(rate))[-1]["loss"]
    assert loss[2e-3] < 0.9 * loss[1e-12]


@pytest.mark.slow
def test_sample_and_evaluate_a_trained_run(tmp_path):
    ancestral = "{'step': 'ancestral', 'grid': 'uniform_grid', 'n': 100}"
    flow = "{'step': 'probability_flow', 'grid': {'name': 'uniform_grid', 't_min': 0.01}, 'n': 1}"
    two = f"--config.samplers={{'ancestral': {ancestral}, 'probability_flow': {flow}}}"
    assert run("train", tmp_path, "--config.train.steps=4", two) == 0
    assert run("sample", tmp_path, "--config.train.steps=4", two) == 0
    assert np.asarray(Image.open(drawn(tmp_path / "samples", "ancestral_seed0"))).std() > 1
    assert run("evaluate", tmp_path, "--config.train.steps=4", two) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    (arm,) = report["arms"]
    assert [row["name"] for row in arm["samplers"]] == ["ancestral", "probability_flow"]
    assert arm["samplers"][0]["nfe"] == 100
    assert len(arm["samplers"][0]["frechet"]["values"]) == 2


@pytest.mark.slow
def test_a_user_s_sde_and_network_by_name(tmp_path):
    """Neither is known to this repository; both train and sample."""
    overrides = ["--config.sde.name=user_parts:Straight", "--config.train.steps=4"]
    assert run("train", tmp_path, *overrides) == 0
    tree = read_config(DIGITS, ["--config.net.name=user_parts:Net"])
    tree["net"] = {"name": "user_parts:Net", "width": 4}
    from experiments.build.build import build

    experiment = build(Config.model_validate(tree), (8, 8, 1))
    params = experiment.model.init(jax.random.key(0), jax.numpy.zeros((8, 8, 1)))
    assert experiment.score(params)(jax.numpy.ones((8, 8, 1)), 0.5).shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--config.train.stepz=3", "unknown config key train.stepz (did you mean steps?)"),
        ("--config.train.steps=1.5", "train.steps = 1.5: input should be a valid integer"),
        ("--config.train.steps=True", "train.steps = True"),
        ("--config.train.learning_rate=-1", "train.learning_rate = -1"),
        ("--config.train.learning_rate=nan", "train.learning_rate"),
        ("--config.samplers.a/b.n=3", "samplers.a/b.[key] = 'a/b': value error, it names files"),
        ("--config.net.classes=3", "data: the held-out data has examples without a label, and net.classes = 3"),
        ("--config.train.batch=13", "train.batch = 13 does not divide over 2 devices: take 12 or 14"),
        ("--config.sde.name=VPSED", "sde: unknown sde_lib name 'VPSED' (did you mean VPSDE?)"),
        ("--config.sde.beta_mx=3", "sde: unknown option beta_mx (did you mean beta_max?)"),
        ("--config.sde.beta_max=big", "sde: beta_max = 'big'"),
        ("--config.sde.name=nowhere:MySDE", "sde: cannot import 'nowhere:MySDE'"),
        ("--config.net.width=wide", "net: width = 'wide'"),
        ("--config.weight=sigma3", "weight: unknown losses name 'sigma3' (did you mean sigma2?)"),
        ("--config.parameterization=epsilon", "parameterization: unknown models name 'epsilon'"),
        ("--config.samplers.ancestral.step.name=ancestrel", "samplers.ancestral.step: unknown samplers name"),
        ("--config.samplers.annealed_langevin.step.snr=-1", "samplers.annealed_langevin.step: snr = -1"),
        ("--config.samplers.ancestral.grid.name=ancestral", "samplers.ancestral.grid"),
        ("--config.sample.sampler=ddim", "sample.sampler = 'ddim' is not one of samplers"),
        ("--config.data.name=cifra10", "data: no prepared dataset 'cifra10'"),
        ("--config.samplers.ancestral.sweep={'eta': (1.0,)}", "samplers.ancestral.sweep: unknown option eta"),
        ("--config.evaluate.neighbours=64", "evaluate.neighbours = 64 of evaluate.n = 64: take fewer"),
        ("--config.conditioning=indx", "conditioning: unknown models name 'indx' (did you mean index?)"),
        ("--config.compute=float16", "compute = 'float16': input should be 'float32' or 'bfloat16'"),
        ("config.seed=1", "config.seed=1: write an override as --config.key=value"),
    ],
)
def test_a_mistake_is_answered_before_any_compile(tmp_path, capsys, override, says):
    """Exit code 2 or 3, the key, the reason, the nearest; no traceback, and nothing written."""
    assert run("train", tmp_path, override) == (3 if says.startswith("data: ") else 2)
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_sdes_that_break_their_promises_are_refused(tmp_path, capsys):
    assert run("train", tmp_path, "--config.sde.name=VESDE", "--config.sde.sigma_min=60.0") == 2
    assert "log_snr(t) must decrease" in capsys.readouterr().err


def test_arms_are_measured_alike(tmp_path, capsys):
    """An arm may not have its own evaluation or data, which one table could not hold; the range of its network is its own."""
    argv = ["compare", "--config=configs/digits/ddpm_vs_ncsn.py", f"--workdir={tmp_path}", "--config.arms.ddpm.data.range=unit"]
    assert main([*argv, "--config.arms.ddpm.evaluate.n=200", "--config.arms.ddpm.data.levels=9"]) == 2
    error = capsys.readouterr().err
    for key in ("evaluate.n", "data.levels"):
        assert f"arms.ddpm: {key} must be the same in all arms, or their results would not compare" in error
    assert "range" not in error


def test_every_problem_at_once(tmp_path, capsys):
    assert run("train", tmp_path, "--config.sde.name=VPSED", "--config.train.stepz=3", "--config.data.name=nope") == 2
    error = capsys.readouterr().err
    for said in ("VPSED", "train.stepz", "'nope'"):
        assert said in error


def test_attention_that_never_occurs_is_a_config_error(tmp_path, capsys):
    argv = ["train", f"--config={DIGITS}", f"--workdir={tmp_path}", "--config.net.attention=(16,)"]
    assert main(argv) == 2
    assert "net: attention [16] never occur; the resolutions are [8, 4]" in capsys.readouterr().err


@pytest.mark.slow
def test_classifier_features_need_labels(tmp_path, capsys):
    assert run("train", tmp_path, "--config.train.steps=1") == 0
    assert run("evaluate", tmp_path, "--config.train.steps=1", "--config.evaluate.features=classifier") == 2
    assert "needs labels" in capsys.readouterr().err


@pytest.mark.slow
def test_another_experiment_in_the_same_workdir_is_refused(tmp_path, capsys):
    """What made the run may not change; how long it runs and how it is looked at may."""
    assert run("train", tmp_path, "--config.train.steps=4") == 0
    assert run("train", tmp_path, "--config.train.steps=4", "--config.seed=1") == 2
    assert "seed: 0 then, 1 now" in capsys.readouterr().err
    assert run("train", tmp_path, "--config.train.steps=5", "--config.train.log_every=1") == 0


def test_sampling_an_untrained_run_is_refused(tmp_path, capsys):
    assert run("sample", tmp_path / "absent") == 5
    assert "train it first" in capsys.readouterr().err


def test_a_config_file_that_is_not_there(capsys, tmp_path):
    assert run("train", tmp_path, config="configs/digits/vq.py") == 2
    assert "did you mean configs/digits/vp.py?" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "says"), [("def get_config(:", "SyntaxError"), ("x = 1", "must define get_config")])
def test_a_config_file_that_does_not_run(capsys, tmp_path, text, says):
    (tmp_path / "bad.py").write_text(text)
    assert run("train", tmp_path / "out", config=str(tmp_path / "bad.py")) == 2
    assert says in capsys.readouterr().err


def test_commands_ask_for_their_kind_of_config(capsys, tmp_path):
    assert run("compare", tmp_path) == 2
    assert "has no arms" in capsys.readouterr().err
    assert main(["train", "--config=configs/digits/ddpm_vs_ncsn.py", f"--workdir={tmp_path}"]) == 2
    assert "compares ddpm, ncsn, subvp" in capsys.readouterr().err


ONE_PROGRAM = """
import sys, json, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from experiments.main import main
sys.exit(main(json.loads(sys.argv[2])))
"""


@pytest.mark.slow
def test_one_two_and_eight_devices_agree(tmp_path):
    """The same losses and the same samples to float32 rounding, for a U-Net on digits."""
    small = ["--config.net.width=8", "--config.train.steps=3", "--config.train.batch=16", "--config.train.warm_up=1"]
    small += [
        "--config.train.log_every=1",
        "--config.sample.n=16",
        "--config.samplers.ancestral.n=2",
        "--config.train.sample_every=3",
        "--config.net.multipliers=(1,)",
    ]
    small += ["--config.samplers.ancestral.sweep={}", "--config.net.dropout=0.1", "--config.evaluate.batch=16"]
    runs = {}
    for devices in (1, 2, 8):
        argv = ["train", f"--config={DIGITS}", f"--workdir={tmp_path / str(devices)}", *small]
        command = [sys.executable, "-c", ONE_PROGRAM, str(devices), json.dumps(argv)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        image = np.asarray(Image.open(tmp_path / str(devices) / "samples" / "step_0000003.png"), float)
        runs[devices] = [row["loss"] for row in metrics(tmp_path / str(devices))], image
    for devices in (2, 8):
        np.testing.assert_allclose(runs[devices][0], runs[1][0], rtol=2e-5)
        assert np.abs(runs[devices][1] - runs[1][1]).max() <= 16  # one grey level of 17, at a rounding edge


@pytest.mark.slow
def test_an_arm_that_fails_takes_no_other_with_it(tmp_path, monkeypatch, capsys):
    """The first of two ends with numbers that are not finite: the report is of the second, the exit code of the first."""
    config, train = tmp_path / "two.py", compare.train
    config.write_text(
        "from configs.toy2d import moons\n"
        "def get_config():\n"
        "    config = moons.get_config()\n"
        "    config.arms = {'bad': {'title': 'Bad'}, 'good': {'title': 'Good'}}\n"
        "    return config\n"
    )

    def failing(experiment, data, workdir, record):
        if workdir.name == "bad":
            raise NumericsError("10 steps in a row were not finite")
        return train(experiment, data, workdir, record)

    monkeypatch.setattr(compare, "train", failing)
    ancestral = "{'step': 'ancestral', 'grid': 'uniform_grid', 'n': 8}"
    overrides = ["--config.train.steps=4", f"--config.samplers={{'ancestral': {ancestral}}}"]
    assert run("compare", tmp_path / "out", *overrides, config=str(config)) == 4
    assert "10 steps in a row were not finite" in capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["good"]
    assert results["doubts"][0] == "bad is not in this report: 10 steps in a row were not finite"
    assert "bad is not in this report" in (tmp_path / "out" / "report.html").read_text()
    status = lambda arm: json.loads((tmp_path / "out" / arm / "run.json").read_text())["sessions"][-1]["status"]
    assert (status("bad"), status("good")) == ("failed", "done")


def test_compare_writes_the_report(tmp_path, monkeypatch):
    """Two arms of an MLP on moons, each in the order of its own seed: the page is self-contained, its numbers report.json's."""
    orders, train = {}, compare.train

    def recorded(experiment, data, workdir, record):
        orders[workdir.name] = data.train.indices(400, 64)
        return train(experiment, data, workdir, record)

    monkeypatch.setattr(compare, "train", recorded)
    config = tmp_path / "two.py"
    config.write_text(
        "from configs.toy2d import moons\n"
        "def get_config():\n"
        "    config = moons.get_config()\n"
        "    config.arms = {'vp': {'title': 'VP <b>'}, 've': {'title': 'VE', 'sde': {'name': 'VESDE', 'sigma_max': 10.0}}}\n"
        "    config.arms.ve.seed = 1\n"
        "    return config\n"
    )
    flow = "{'step': 'probability_flow', 'grid': {'name': 'uniform_grid', 't_min': 0.01}, 'n': 1}"
    ancestral = "{'step': 'ancestral', 'grid': 'uniform_grid', 'n': 8}"
    overrides = ["--config.train.steps=4", f"--config.samplers={{'ancestral': {ancestral}, 'flow': {flow}}}"]
    assert run("compare", tmp_path / "out", *overrides, config=str(config)) == 0
    html = (tmp_path / "out" / "report.html").read_text()
    results = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "VP &lt;b&gt;" in html
    assert "VP <b>" not in html
    assert 'src="http' not in html
    assert "href=" not in html
    assert "sde.sigma_max = 10.0" in html
    assert [arm["name"] for arm in results["arms"]] == ["vp", "ve"]  # as in the file, though ml_collections sorts its keys
    assert {key for key, _ in results["protocol"]} >= {"data hash", "config hash", "features", "versions", "NFE"}
    for name, seed in {"vp": 0, "ve": 1}.items():
        np.testing.assert_array_equal(orders[name], ordered(np.arange(400 * 64, 401 * 64), 20_000, seed))
    assert ["training seed", "0 of vp, 1 of ve (one training run per arm)"] in results["protocol"]
    assert 0 < results["compiles"]["seconds"] < sum(arm["train_seconds"] + arm["evaluate_seconds"] for arm in results["arms"])
    assert f"{results['compiles']['programs']} programs compiled" in html
    for name in ("quality.png", "loss_log_snr.png", "curves.png", "samples.png", "process.png", "reverse_process.gif"):
        assert np.asarray(Image.open(tmp_path / "out" / name).convert("L")).std() > 1
