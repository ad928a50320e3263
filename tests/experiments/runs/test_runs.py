"""A run as its folder keeps it: what may change, what is refused, ways back and branches, and steps that are not finite."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import content, metrics, run, seal
from small_experiments import clusters, small_experiment
from source_files import ROOT

from experiments.build.optimizer import make_optimizer
from experiments.build.state import Tally, init_state, named
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.runs.metrics import Log, rows
from experiments.runs.record import read_record, session
from experiments.runtime import devices
from experiments.training.step import make_step

pytestmark = pytest.mark.usefixtures("in_root")

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
OFTEN = ("--config.train.checkpoint_every=4", "--config.train.keep=9", ONE_SAMPLER)


def train(folder: Path, steps: int, *more: str) -> int:
    return run("train", folder, f"--config.train.steps={steps}", *OFTEN, *more)


def without_clock(folder: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in metrics(folder)]


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of 8 steps with checkpoints at 4 and 8, to copy and to leave as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        folder = tmp_path_factory.mktemp("done") / "run"
        assert train(folder, 8) == 0
    return folder


@pytest.fixture
def copy(done, tmp_path):
    return Path(shutil.copytree(done, tmp_path / "run"))


@pytest.mark.slow
def test_the_record_says_who_made_what(done):
    found = record(done)
    (session,) = found["sessions"]
    assert (session["status"], session["from_step"], session["to_step"], found["saved"]) == ("done", 0, 8, 8)
    assert any(package.startswith("jax==") for package in found["packages"][session["packages"]])
    assert session["config"] in found["configs"]
    seals = json.loads((done / "checkpoints" / "8" / "seal" / "metadata").read_text())
    assert seals["run"] == found["id"]


def test_keys_that_made_the_run_are_refused_with_the_ways_on(copy, capsys):
    before = content(copy)
    assert train(copy, 12, "--config.seed=1") == 2
    error = capsys.readouterr().err
    for said in ("seed: 0 then, 1 now", "--fork=DIR", "--allow-change=seed"):
        assert said in error
    assert len(error.splitlines()) <= 5
    assert content(copy) == before


@pytest.mark.parametrize("key", ["train.checkpoint_every", "evaluate.n"])
def test_keys_that_only_look_are_free_and_recorded(copy, key):
    assert train(copy, 12, f"--config.{key}=10") == 0
    *_, session = record(copy)["sessions"]
    section, _, leaf = key.partition(".")
    assert record(copy)["configs"][session["config"]][section][leaf] == 10


@pytest.mark.slow
def test_a_longer_cosine_is_said_to_be_another(tmp_path, capsys):
    cosine = "--config.train.decay=cosine"
    assert train(tmp_path, 4, cosine) == 0
    assert train(tmp_path, 8, cosine) == 0
    assert "the cosine was over 4 steps, and goes on over 8" in capsys.readouterr().out
    assert train(tmp_path, 12, cosine, f"--fork={tmp_path / 'fork'}") == 0
    assert "the cosine was over 8 steps, and goes on over 12" in capsys.readouterr().out
    assert train(tmp_path, 5, cosine) == 0
    assert "is at step 8 already" in capsys.readouterr().out


@pytest.mark.slow
def test_an_allowed_change_goes_on_and_is_recorded(copy, capsys):
    rate = "--config.train.learning_rate=0.001"
    assert train(copy, 12, rate) == 2
    assert train(copy, 12, rate, "--allow-change=train.learning_rate") == 0
    first, *_, last = record(copy)["sessions"]
    assert (first["to_step"], last["from_step"], last["to_step"]) == (8, 8, 12)
    assert record(copy)["configs"][last["config"]]["train"]["learning_rate"] == 0.001
    assert train(copy, 12, rate) == 0  # from now on it is the run's own
    capsys.readouterr()
    assert main(["replay", str(copy), "--step=6"]) == 0
    assert "step 6 was trained by another config" in capsys.readouterr().out


def test_a_key_that_there_is_not_is_no_change_to_allow(copy, capsys):
    for key in ("", "train.learning", "sde.beta_mx"):
        assert train(copy, 12, "--config.seed=1", f"--allow-change={key}") == 2
        assert f"--allow-change={key}: no such key" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_has_saved_nothing_is_free(copy):
    """What it died of may be the config."""
    shutil.rmtree(copy / "checkpoints")
    found = record(copy)
    found.pop("saved")
    (copy / "run.json").write_text(json.dumps(found))
    assert train(copy, 4, "--config.seed=1") == 0
    assert train(copy, 4) == 2


def test_a_record_that_is_lost_sets_nothing_aside(copy, capsys):
    (copy / "run.json").unlink()
    for act in (
        lambda: train(copy, 12),
        lambda: run("sample", copy, "--config.train.steps=8", *OFTEN),
        lambda: main(["ckpt", "verify", str(copy)]),
        lambda: main(["export", str(copy), str(copy / "out")]),
    ):
        assert act() == 5
        assert "holds checkpoints and no run.json" in capsys.readouterr().err
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["4", "8"]


def test_a_config_that_is_lost_is_in_the_record(copy, capsys):
    """By which another experiment is refused, and the run's own goes on and writes its config again."""
    before = (copy / "config.json").read_text()
    (copy / "config.json").unlink()
    assert train(copy, 12, "--config.seed=1") == 2
    error = capsys.readouterr().err
    assert "seed: 0 then, 1 now" in error
    assert "config.json" not in error
    assert train(copy, 8) == 0
    assert (copy / "config.json").read_text() == before


def test_a_fork_that_is_refused_changes_nothing(copy, tmp_path, capsys):
    """Neither the run that is there already nor a folder that is new."""
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    before, new = content(other), tmp_path / "new"
    for source, target, why in ((copy, other, "holds a run already"), (tmp_path / "typo", new, "holds no run to fork")):
        assert train(source, 99, "--config.title=another", f"--fork={target}") == 5
        assert why in capsys.readouterr().err
    assert content(other) == before
    assert not new.exists()


@pytest.mark.slow
def test_a_fork_that_dies_before_its_first_state_is_made_again(copy, tmp_path, capsys):
    """And does not train from nothing under its parent's name."""
    parent, fork = read_record(copy), tmp_path / "fork"
    assert parent
    with session(fork, Config.model_validate(parent.tree_at()), None, "train", training=True) as begun:
        begun.begin_as_fork(parent, copy, 8)
    assert train(fork, 12) == 5
    *_, advice = capsys.readouterr().err.strip().partition("train again by ")
    assert advice == f"--workdir={copy} --fork={fork}"
    assert train(copy, 8, f"--fork={fork}") == 0
    assert [one["from_step"] for one in record(fork)["sessions"] if "from_step" in one] == [0, 8]


def test_a_fork_is_of_one_run_and_in_a_folder_of_its_own(copy, tmp_path, capsys):
    before = content(copy)
    assert train(copy, 12, f"--fork={copy}") == 2
    assert "is --workdir itself" in capsys.readouterr().err
    assert content(copy) == before
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    renamed = record(other) | {"parent": {"run": "somebody", "folder": "elsewhere", "step": 3}}
    (other / "run.json").write_text(json.dumps(renamed))
    assert train(copy, 12, f"--fork={other}") == 5
    assert "is a fork of elsewhere" in capsys.readouterr().err


@pytest.mark.slow
def test_other_examples_under_the_same_name_are_refused(tmp_path, capsys):
    """By the digest of the data."""
    for split, seed in (("train", 0), ("test", 1)):
        images = np.random.default_rng(seed).integers(0, 256, (64, 4, 4, 1), np.uint8)
        np.savez(tmp_path / f"{split}.npz", image=images)
    npz = [f"--config.data={{'name': 'npz', 'data_dir': '{tmp_path}'}}", "--config.net={'name': 'MLP', 'width': 8, 'depth': 1}"]
    assert train(tmp_path / "run", 4, *npz) == 0
    np.savez(tmp_path / "train.npz", image=images[::-1])
    assert train(tmp_path / "run", 8, *npz) == 2
    assert "data: examples with the digest" in capsys.readouterr().err
    assert train(tmp_path / "run", 8, *npz, "--allow-change=data") == 0


@pytest.mark.slow
def test_a_fork_begins_where_the_run_is_and_leaves_it_alone(copy, tmp_path):
    before, fork = content(copy), tmp_path / "fork"
    rate = "--config.train.learning_rate=0.001"
    assert train(copy, 12, rate, f"--fork={fork}") == 0
    assert content(copy) == before
    assert record(fork)["parent"] == {"run": record(copy)["id"], "folder": str(copy), "step": 8}
    assert record(fork)["id"] != record(copy)["id"]
    assert [row["step"] for row in metrics(fork)] == [4, 8, 12]
    assert [(one["from_step"], one["to_step"]) for one in record(fork)["sessions"]] == [(0, 8), (8, 12)]
    rates = [read_record(fork).config_at(step).train.learning_rate for step in (7, 8)]  # pyright: ignore[reportOptionalMemberAccess]
    assert rates == [0.002, 0.001]
    assert {name: leaf[2] for name, leaf in seal(fork, 8).items()} == {name: leaf[2] for name, leaf in seal(copy, 8).items()}
    assert train(copy, 16, rate, f"--fork={fork}") == 0  # the same command goes on with the fork
    assert (metrics(fork)[-1]["step"], metrics(copy)[-1]["step"]) == (16, 8)


def test_a_report_replaces_none_of_another_kind(copy, tmp_path, capsys):
    """A comparison in the folder of a run would, and a run in that of a comparison; both are refused before a compile."""
    comparison = tmp_path / "comparison"
    (comparison / "an_arm").mkdir(parents=True)
    for name in ("report.json", "an_arm/run.json"):
        (comparison / name).write_text("{}")
    before = content(tmp_path)
    assert main(["compare", "--config=configs/digits/ddpm_vs_ncsn.py:tiny", f"--workdir={copy}"]) == 2
    assert "is a run, and a comparison has a folder of its own: take another --workdir" in capsys.readouterr().err
    assert train(comparison, 4) == 2
    assert "is a comparison, and a run has a folder of its own: take another --workdir" in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.slow
def test_the_time_before_a_stop_counts(copy):
    """It stands in the seal of a step without a row, and the next row is of the steps and seconds of all sessions."""
    unlogged = lambda step: json.loads((copy / "checkpoints" / str(step) / "seal" / "metadata").read_text())["unlogged"]
    seal = copy / "checkpoints" / "8" / "seal" / "metadata"
    seal.write_text(json.dumps(json.loads(seal.read_text()) | {"unlogged": 1e6}))
    assert train(copy, 16, "--config.train.log_every=1000") == 0
    assert unlogged(12) > 1e6 > unlogged(16)
    row = metrics(copy)[-1]
    assert row["seconds"] > 1e6
    assert row["images_per_second"] == pytest.approx(8 * 64 / row["seconds"])


def test_going_back_sets_aside_what_came_after_and_repeats_it(copy, capsys):
    """From 4 again to 8: the same bits. What was there is kept."""
    logged, sealed = without_clock(copy), seal(copy, 8)
    assert main(["ckpt", "rollback", str(copy), "--step=5"]) == 5
    assert "has the checkpoints 4, 8" in capsys.readouterr().err
    assert main(["ckpt", "rollback", str(copy), "--step=4"]) == 0
    assert record(copy)["rollbacks"][0]["to_step"] == 4
    (aside,) = (copy / "abandoned").iterdir()
    assert (aside / "checkpoints" / "8").is_dir()
    assert not (copy / "checkpoints" / "8").exists()
    assert train(copy, 8) == 0
    assert (without_clock(copy), seal(copy, 8)) == (logged, sealed)


def test_nobody_goes_back_to_what_is_damaged(copy, capsys):
    for path in (copy / "checkpoints" / "4" / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-8])
    assert main(["ckpt", "rollback", str(copy), "--step=4"]) == 5
    assert "nothing was moved" in capsys.readouterr().err
    assert (copy / "checkpoints" / "8").is_dir()


@pytest.mark.slow
def test_a_picture_of_steps_that_were_lost_is_drawn_again(copy):
    (copy / "samples").mkdir(exist_ok=True)
    stale = copy / "samples" / "step_0000012.png"
    for path in (stale, copy / "samples" / "step_final.png"):
        path.write_text("old")
    assert train(copy, 12) == 0
    assert stale.read_bytes() != b"old"
    assert (copy / "samples" / "step_final.png").read_text() == "old"


def test_a_folder_may_have_a_colon(copy, tmp_path, capsys):
    moved = copy.rename(tmp_path / "at 12:00")
    assert main(["ckpt", "verify", str(moved)]) == 0
    assert main(["replay", str(moved), "--step=8"]) == 2
    assert "the run has the steps 0 to 7" in capsys.readouterr().err


def test_verify_reads_every_checkpoint(copy, capsys):
    assert main(["ckpt", "verify", str(copy)]) == 0
    assert capsys.readouterr().out.splitlines() == ["step 8: sound", "step 4: sound"]
    (copy / "checkpoints" / "8" / "seal" / "metadata").write_text("{}")
    assert main(["ckpt", "verify", str(copy)]) == 5
    assert "1 of 2 checkpoints" in capsys.readouterr().err


def test_a_run_whose_checkpoints_are_gone_does_not_begin_anew(copy, capsys):
    shutil.rmtree(copy / "checkpoints")
    assert train(copy, 12) == 5
    assert "was saved at step 8, and its checkpoints are gone" in capsys.readouterr().err
    assert run("sample", copy, "--config.train.steps=8", *OFTEN) == 5
    assert "was saved at step 8, and its checkpoints are gone" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_made_again_bit_by_bit(copy):
    """By the same command: the steps after the last sound one are repeated."""
    sealed, logged = seal(copy, 8), without_clock(copy)
    for path in (copy / "checkpoints" / "8" / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-8])
    assert train(copy, 8) == 0
    assert (seal(copy, 8), without_clock(copy)) == (sealed, logged)
    assert (copy / "checkpoints" / "8.corrupt").is_dir()


@pytest.mark.slow
def test_a_step_that_is_not_finite_changes_nothing(tmp_path):
    """Neither parameters, average, moments nor the draw of t, but the counts; and at the limit the state stands still."""
    experiment = small_experiment("--config.times=loss_aware", "--config.weight=user_parts:cliff", "--config.train.bad_steps=3")
    optimizer = make_optimizer(experiment.config.train)
    advance = devices.pmapped(make_step(experiment, optimizer, jax.random.key(5)))
    sound = np.broadcast_to(clusters(64), (1, 64, 2))
    before = jax.device_get(init_state(experiment, optimizer, jax.random.key(0)))
    state = jax.device_put(before, devices.replicated())
    for i in range(5):
        state = advance(state, Batch(devices.split(sound, axis=1)))
        assert (state.step, state.tally.skipped, state.tally.streak) == (min(i + 1, 3),) * 3
    after = jax.device_get(state)
    same = {name: (leaf == named(after)[name]).all() for name, leaf in named(before).items()}
    assert {name for name, equal in same.items() if not equal} == {"step", "tally/skipped", "tally/streak"}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run whose loss is nan wherever t > 1/2, in every batch: (its folder, its exit code)."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.syspath_prepend(str(ROOT / "tests" / "support"))
        return folder, train(folder, 40, CLIFF, "--config.train.bad_steps=3", "--config.train.log_every=10")


CLIFF = "--config.weight={'name': 'user_parts:cliff', 'edge': 0.501}"


@pytest.mark.slow
def test_bad_steps_on_end_stop_the_run_with_a_report(stopped, capsys):
    """Exit code 4; the report names the step, the examples, their times and the modules; the state is finite and saved."""
    folder, code = stopped
    assert code == 4
    report = json.loads((folder / "nan_report.json").read_text())
    assert (report["step"], report["batch"]) == (2, 64)
    assert all(example["t"] > 0.501 and example["loss"] is None for example in report["examples"])
    assert 16 < len(report["examples"]) < 48
    assert sum(report["t_histogram"]["not_finite"][:5]) == 0
    assert report["parameters_finite"]
    assert None in report["modules"].values()
    assert record(folder)["sessions"][-1]["exit_code"] == 4
    assert train(folder, 40, CLIFF, "--config.train.bad_steps=3", "--config.train.log_every=10") == 4  # here again
    error = capsys.readouterr().err
    assert "3 steps in a row were not finite" in error
    assert f"replay {folder} --step=2" in error
    assert len(error.splitlines()) <= 5


@pytest.mark.slow
def test_replay_finds_the_line(stopped, capsys):
    folder, _ = stopped
    assert main(["replay", str(folder), "--step=2"]) == 2  # a file does not run a user's code unless the user says so
    assert "--config.weight.name=user_parts:cliff" in capsys.readouterr().err
    assert main(["replay", str(folder), "--step=2", "--config.weight.name=user_parts:cliff"]) == 0
    said = capsys.readouterr().out
    assert "in step 2 " in said
    assert "user_parts.py" in said
    assert "jnp.log(edge - t)" in said
    assert json.loads((folder / "replay_2.json").read_text())["examples"]


@pytest.mark.slow
def test_replay_of_a_sound_step(copy, capsys):
    """From the checkpoint before it, and from the beginning: the same, to the last bit."""
    told = []
    for _ in range(2):
        assert main(["replay", str(copy), "--step=6"]) == 0
        assert "step 6 is finite" in capsys.readouterr().out
        told.append((copy / "replay_6.json").read_text())
        shutil.rmtree(copy / "checkpoints" / "4", ignore_errors=True)
    assert told[0] == told[1]


@pytest.mark.slow
def test_a_few_bad_steps_are_counted_and_said(tmp_path, capsys):
    rare = "--config.weight={'name': 'user_parts:cliff', 'edge': 0.995}"  # one of 64 even times is above, in a batch of three
    assert train(tmp_path, 20, rare, "--config.train.bad_steps=20") == 0
    last = metrics(tmp_path)[-1]
    assert 1 < last["skipped"] < 15
    assert np.isfinite(last["loss"])
    assert f"warning: {last['skipped']} steps so far" in capsys.readouterr().out


@pytest.mark.slow
def test_a_diverging_run_keeps_a_finite_state(tmp_path, capsys):
    away = "--config.train.learning_rate=1.0", "--config.train.weight_decay=1000.0"  # the weights, times a thousand each step
    assert train(tmp_path, 40, *away) == 4
    assert "steps in a row were not finite" in capsys.readouterr().err
    assert main(["ckpt", "verify", str(tmp_path)]) == 0


def test_what_is_no_row_of_metrics_is_passed_over(tmp_path):
    sound = {"step": 4, "loss": 0.5, "seconds": 1.0}
    lines = ["[" * 9999, '{"step": "<b>"}', '{"step": 1, "loss": ' + "9" * 9999 + "}", "3", '{"step": 8, "loss": NaN}']
    path = tmp_path / "metrics.jsonl"
    path.write_bytes("\n".join([*lines, json.dumps(sound), '{"step": 12, "lo']).encode() + b"\xff\x00")
    assert rows(path) == [sound]
    Log(path, 4)
    assert path.read_text() == json.dumps(sound) + "\n"


def test_the_tally_of_a_run_that_has_not_begun_is_zero():
    assert all(leaf == 0 for leaf in Tally.zero())
