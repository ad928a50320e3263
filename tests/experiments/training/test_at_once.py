"""Several seeds in one program: each becomes what it would become alone, to rounding, and none hears of another."""

import json
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import MOONS, TINY, metrics, seal
from slow import slow_for
from small_experiments import ONE_SAMPLER, clusters, small_experiment
from source_files import ROOT

from experiments.build.build import build
from experiments.build.experiment import Frozen
from experiments.build.optimizer import optimizer_of
from experiments.build.state import Tally, init_state, named
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.seeds import runs_of_arm
from experiments.data.dataset import Batch, load
from experiments.data.feed import stacked
from experiments.data.sources import open_sources
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.metrics import Log
from experiments.runs.record import session
from experiments.runs.resume import state_shapes
from experiments.runtime import devices, processes
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.training import at_once, room
from experiments.training.at_once import obstacle, train_at_once
from experiments.training.course import Training
from experiments.training.loop import train
from experiments.training.program import arguments_of, program

pytestmark = pytest.mark.usefixtures("in_root")

SEEDS = (0, 1, 2)
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
"""Parameters after a few steps of 2e-3: sums in another order, which Adam divides by their own size."""

# The program


def points(step, seed):
    return Batch(np.asarray(clusters(64)) + 0.01 * (step + 10 * seed))


def digits(step, seed):
    draw = np.random.default_rng((step, seed))
    return Batch(draw.integers(0, 17, (64, 8, 8, 1), np.uint8), draw.integers(0, 10, 64).astype(np.int32))


NARROW = ("--config.net.width=8", "--config.net.multipliers=(1,)")


def on_digits(*overrides, file="configs/digits/vp.py", small=NARROW):
    options = [*small, "--config.train.warm_up=0", *overrides]
    return build(Config.model_validate(read_config(file, options)), (8, 8, 1), tuple(map(str, range(10))))


def played():
    """A VAE that is trained against a discriminator."""
    perceptron, play = "{'name': 'Perceptron', 'width': 8}", "{'net': {'name': 'PatchGAN', 'width': 4, 'layers': 1}}"
    encoder = "--config.codec.encoder={'name': 'Perceptron', 'emitted': (8,), 'width': 8}"
    small = (encoder, f"--config.codec.decoder={perceptron}", "--config.evaluate.likelihood=0")
    return on_digits(f"--config.codec.adversarial={play}", file="configs/digits/vae.py", small=small)


def adapted():
    """Adapters to a base, which is an argument of the program and the same for all."""
    experiment = small_experiment("--config.lora.run=a base", "--config.lora.rank=2")
    base = experiment.model.init(jax.random.key(7), jnp.zeros(2))
    return experiment._replace(frozen=Frozen(devices.put(base, devices.replicated())))


KINDS = {
    "points": lambda: small_experiment("--config.train.clip=0.1", "--config.times=loss_aware", "--config.weight=likelihood"),
    "several": lambda: small_experiment("--config.train.steps_per_call=2", "--config.train.accumulate=2"),
    "averages": lambda: small_experiment("--config.train.ema=(0.9, 0.5)", "--config.train.sigma_rel=(0.1,)"),
    "shares": lambda: small_experiment("--config.net.width=64", "--config.train.shard=True"),
    "muon": lambda: small_experiment("--config.train.optimizer=muon"),
    "adapters": adapted,
    "images": lambda: on_digits("--config.net.dropout=0.2", "--config.data.flip=True"),
    "classes": lambda: on_digits("--config.net.classes=10", "--config.train.label_dropout=0.1"),
    "classifier": lambda: on_digits(file="configs/digits/classifier.py"),
    "adversarial": played,
}


def of_seeds(experiment):
    """The experiment from each seed, and its first state."""
    configs = [experiment.config.model_copy(update={"seed": seed}) for seed in SEEDS]
    experiments = [experiment._replace(config=config) for config in configs]
    optimizer = optimizer_of(experiment.config)
    return experiments, tuple(init_state(one, optimizer, stream(one.config.seed, Purpose.INIT)) for one in experiments)


def after(experiments, states, spoiled=(), calls=3):
    """The states after some calls of one program, and the last outcomes, on the host."""
    experiment, outcomes = experiments[0], ()
    advance = program(experiments, states[0])
    k, draw = experiment.config.train.steps_per_call or 1, points if experiment.shape == (2,) else digits
    for i in range(calls):
        batches = [stacked([draw(i * k + j, one.config.seed) for j in range(k)]) for one in experiments]
        batches = [batch if experiment.classes else batch._replace(y=None) for batch in batches]
        nan = lambda batch: batch._replace(levels=np.full_like(batch.levels, np.nan))
        batches = [nan(batch) if n in spoiled else batch for n, batch in enumerate(batches)]
        block, span = devices.split(tuple(batches), axis=1), np.array([0, k], np.int32)
        states, outcomes = advance(states, block, arguments_of(experiments), span)
    return jax.tree.map(np.array, (states, outcomes))


@pytest.mark.slow
@slow_for(*(kind for kind in KINDS if kind != "points"))
@pytest.mark.parametrize("kind", KINDS)
def test_every_run_of_the_program_is_what_it_is_alone(kind):
    """Every array of the state of the last one: parameters, averages, moments, memory of times, counts; and the rate."""
    experiments, states = of_seeds(KINDS[kind]())
    before = jax.tree.map(np.array, states)
    (alone,), (outcome,) = after(experiments[2:], states[2:])
    experiments, states = of_seeds(KINDS[kind]())
    together, outcomes = after(experiments, states)
    for name, leaf in named(alone).items():
        np.testing.assert_allclose(named(together[2])[name], leaf, **CLOSE, err_msg=name)
    np.testing.assert_allclose(outcomes[2][1], outcome[1])
    for other in (before[2], *together[:2]):
        leaves = zip(*map(jax.tree.leaves, (other.params, alone.params)), strict=True)
        assert max(np.abs(a - b).max() for a, b in leaves) > 10 * CLOSE["atol"]


@pytest.mark.slow
def test_no_run_hears_of_another():
    """A batch of one that is not finite changes no bit of the others, and nothing of its own but the counts."""
    experiments, states = of_seeds(KINDS["points"]())
    before = jax.tree.map(np.array, states)
    sound, _ = after(experiments, states)
    experiments, states = of_seeds(KINDS["points"]())
    spoiled, _ = after(experiments, states, spoiled=(1,))
    for i in (0, 2):
        jax.tree.map(np.testing.assert_array_equal, spoiled[i], sound[i])
    for part in ("params", "ema", "opt", "times"):
        jax.tree.map(np.testing.assert_array_equal, getattr(spoiled[1], part), getattr(before[1], part))
    assert (spoiled[1].step, spoiled[1].tally.skipped, spoiled[1].tally.streak) == (3, 3, 3)


# The runs

SMALL = [*TINY, ONE_SAMPLER, "--config.sample.n=8", "--config.train.steps=8", "--config.train.checkpoint_every=4"]


@contextmanager
def runs(folder, *overrides, seeds=SEEDS):
    """The runs of the moons from these seeds, each in a folder of its own."""
    config = Config.model_validate(read_config(MOONS, [*SMALL, *overrides]))
    config = config.model_copy(update={"train": config.train.model_copy(update={"seeds": seeds})})
    data = load(open_sources(config.data), config.data, config.seed)
    experiment = build(config, data.shape)
    with ExitStack() as stack:
        trainings = []
        for name, own in runs_of_arm("run", config).items():
            of_seed = data.by(own.seed)
            record = stack.enter_context(session(folder / name, own, of_seed.facts, "a test", training=True))
            trainings.append(Training(experiment._replace(config=own), of_seed, folder / name, record))
        yield trainings


def timeless(folder):
    """The rows of the log, without what the clock says."""
    return [{key: row[key] for key in row.keys() - {"seconds", "images_per_second"}} for row in metrics(folder)]


def assert_alike(run, whole):
    """The same files, with the same rows and leaves, to rounding."""
    state, other = (named(restored(folder)) for folder in (run, whole))
    for name, leaf in other.items():
        np.testing.assert_allclose(state[name], leaf, **CLOSE, err_msg=name)
    for row, of_other in zip(timeless(run), timeless(whole), strict=True):
        assert row == pytest.approx(of_other, rel=1e-4)
    names = lambda folder: {str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints" not in path.parts}
    assert names(run) == names(whole)
    assert (run / "config.json").read_text() == (whole / "config.json").read_text()


def restored(folder):
    record = json.loads((folder / "run.json").read_text())
    config = Config.model_validate(json.loads((folder / "config.json").read_text()), strict=False)
    with Checkpoints(folder / "checkpoints", record["id"], writing=False) as checkpoints:
        return jax.device_get(checkpoints.restore(state_shapes(build(config, (2,)))))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The three runs, trained one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        folder = tmp_path_factory.mktemp("alone")
        with runs(folder) as trainings:
            for training in trainings:
                train(*training)
    return folder


NAMES = ("run", "run_seed_1", "run_seed_2")


@pytest.mark.slow
def test_runs_at_once_are_those_that_were_trained_alone(tmp_path, alone, capsys):
    """Their files, rows and states; `train` finds them at their end."""
    with runs(tmp_path) as trainings:
        train_at_once(trainings)
    assert "compiling the training step of seeds 0, 1, 2 at once" in capsys.readouterr().out
    for name in NAMES:
        assert_alike(tmp_path / name, alone / name)
        assert json.loads((tmp_path / name / "run.json").read_text())["sessions"][-1]["at_once"] == 3
    before = [seal(tmp_path / name, 8) for name in NAMES]
    with runs(tmp_path) as trainings:
        for training in trainings:
            assert int(train(*training).step) == 8
    assert [seal(tmp_path / name, 8) for name in NAMES] == before
    assert "compiling" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("first", ["alone", "at once"])
def test_a_run_goes_on_either_way(tmp_path, alone, first):
    """Begun alone and resumed with others, and begun with others and resumed alone."""
    ways = {"alone": lambda trainings: [train(*training) for training in trainings], "at once": train_at_once}
    with runs(tmp_path, "--config.train.steps=4") as trainings:
        ways.pop(first)(trainings)
    for picture in tmp_path.glob("*/samples/step_*.png"):
        picture.unlink()
    (other,) = ways.values()
    with runs(tmp_path) as trainings:
        other(trainings)
    for name in NAMES:
        assert_alike(tmp_path / name, alone / name)


@pytest.mark.slow
def test_a_run_that_is_not_finite_ends_alone(tmp_path, alone, capsys):
    """The others go on; it has its report, its last state, and by itself the same end."""
    with runs(tmp_path, "--config.train.bad_steps=2") as trainings:
        spoiled = trainings[1].data.train
        spoiled.resident = np.full_like(spoiled.resident, np.nan)
        train_at_once(trainings)
        assert "run_seed_1 fails, and the others go on: NumericsError: 2 steps in a row" in capsys.readouterr().out
        report = json.loads((tmp_path / "run_seed_1" / "nan_report.json").read_text())
        assert (report["step"], report["seed"]) == (1, 1)
        assert [path.name for path in (tmp_path / "run_seed_1" / "checkpoints").iterdir() if path.name.isdigit()] == ["1"]
        with pytest.raises(NumericsError, match="2 steps in a row were not finite"):
            train(*trainings[1])
    for name in ("run", "run_seed_2"):
        np.testing.assert_array_equal([row["step"] for row in metrics(tmp_path / name)], [4, 8])
        assert not (tmp_path / name / "nan_report.json").exists()
        assert timeless(tmp_path / name)[-1] == pytest.approx(timeless(alone / name)[-1], rel=1e-4)


@pytest.mark.slow
def test_a_callback_that_fails_ends_its_own_run(tmp_path, capsys):
    """It is saved there, and goes on from there by itself."""
    with runs(tmp_path, "--config.train.callbacks=user_parts:objects_to_seed_1") as trainings:
        train_at_once(trainings)
        assert "run_seed_1 fails, and the others go on: ConfigError: the callback" in capsys.readouterr().out
        assert [metrics(tmp_path / name)[-1]["step"] for name in NAMES] == [8, 4, 8]
        with pytest.raises(ConfigError, match="objects_to_seed_1 failed at step 8"):
            train(*trainings[1])
        assert "run_seed_1 at step 4" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_that_are_none_of_them_finite_are_left_to_themselves(tmp_path, capsys):
    with runs(tmp_path, "--config.train.bad_steps=2", seeds=(0, 1)) as trainings:
        for training in trainings:
            training.data.train.resident = np.full_like(training.data.train.resident, np.nan)
        train_at_once(trainings)
    assert "not at once, but one seed after the other: 2 steps in a row were not finite" in capsys.readouterr().out
    assert len([*tmp_path.glob("*/nan_report.json")]) == 2


def test_the_seconds_of_runs_at_once_add_up(tmp_path, monkeypatch):
    """Of six seconds each of two runs has three, beside the one that it had before; and so a stop saves them."""
    clock = SimpleNamespace(monotonic=lambda: 10.0)
    monkeypatch.setattr("experiments.runs.metrics.time", clock)
    logs = [Log(tmp_path / str(i), 0, unlogged=1.0, at_once=2) for i in range(2)]
    clock.monotonic = lambda: 16.0
    assert [log.unlogged for log in logs] == [4, 4]
    tally = Tally.zero()._replace(n=np.int32(8))
    for log in logs:
        row = log.write(8, tally, 1e-3, batch=64)
        assert (row["seconds"], row["images_per_second"]) == (4, 8 * 64 / 4)


# Room


@pytest.mark.slow
def test_as_many_runs_as_there_is_room_for(tmp_path, monkeypatch, capsys):
    """Each more takes its own; with less room than for two there is no program of several."""
    needs, needed = [], room.needed
    monkeypatch.setattr(room, "needed", lambda compiled: needs.append(needed(compiled)) or needs[-1])
    with runs(tmp_path) as trainings:
        assert room.as_many_as_fit(trainings)[0] == 3
        of_three = needs[-1]
        monkeypatch.setattr(devices, "free", lambda: 0.99 * of_three / room.SHARE)
        assert room.as_many_as_fit(trainings)[0] == 2
        assert "GiB are free on each device: 2 at once" in capsys.readouterr().out
        of_two = needs[-1]
        assert 1.2 < of_three / of_two < 1.8
        monkeypatch.setattr(devices, "free", lambda: 0.99 * of_two / room.SHARE)
        assert room.as_many_as_fit(trainings) == (1, None)
        assert capsys.readouterr().out.endswith("GiB are free on each device: one after the other\n")


@pytest.mark.slow
def test_the_program_that_fits_is_the_one_that_runs(tmp_path, caplog):
    """It is not compiled once more for the arrays."""
    of_program = lambda: [text for text in caplog.messages if "XLA compilation of jit(advance)" in text]
    with runs(tmp_path, seeds=(0, 1)) as trainings, jax.log_compiles():
        _, advance = room.as_many_as_fit(trainings)
        assert len(of_program()) == 1
        experiments = [training.experiment for training in trainings]
        optimizer = optimizer_of(experiments[0].config)
        states = tuple(init_state(one, optimizer, stream(one.config.seed, Purpose.INIT)) for one in experiments)
        assert advance
        batches = devices.split(tuple(stacked([points(0, seed)]) for seed in (0, 1)), axis=1)
        advance(states, batches, arguments_of(experiments), np.array([0, 1], np.int32))
        assert len(of_program()) == 1


# What keeps them apart


def test_several_processes_and_wandb_train_one_run_at_a_time(monkeypatch, capsys):
    config = small_experiment().config
    assert obstacle(config) == ""
    with_wandb = config.model_copy(update={"train": config.train.model_copy(update={"log": ("jsonl", "wandb")})})
    assert obstacle(with_wandb) == "wandb, of train.log, follows one run of a process"
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "first", lambda: True)
    assert obstacle(config) == "2 processes agree on the end of one run, and not of several"
    monkeypatch.setattr(at_once, "_train", lambda trainings: pytest.fail("it is not to begin"))
    train_at_once([Training(small_experiment(), None, None, None)] * 2)  # pyright: ignore[reportArgumentType]
    assert capsys.readouterr().out == (
        "not at once, but one seed after the other: 2 processes agree on the end of one run, and not of several\n"
    )


def test_memory_that_lacks_after_all_ends_no_run(monkeypatch, capsys):
    """The estimate is XLA's own, and others may take memory meanwhile."""

    def too_much(trainings):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.\nAnd so on.")

    monkeypatch.setattr(at_once, "_train", too_much)
    assert train_at_once([Training(small_experiment(), None, None, None)] * 2) == 1  # pyright: ignore[reportArgumentType]
    said = "not at once, but one seed after the other: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.\n"
    assert capsys.readouterr().out == said


def test_a_network_that_cannot_be_mapped_is_trained_for_one_seed_at_a_time(tmp_path, capsys):
    """It calls the host with its parameters; nothing is compiled or written."""
    with runs(tmp_path, "--config.net={'name': 'user_parts:Unmapped'}", seeds=(0, 1)) as trainings:
        train_at_once(trainings)
        said = capsys.readouterr().out
        assert "not at once, but one seed after the other: the step of training cannot be mapped over seeds (" in said
        assert not [*tmp_path.glob("*/checkpoints")]


@pytest.mark.slow
def test_runs_whose_sound_checkpoints_differ_are_trained_alone(tmp_path, capsys):
    """The newest of one is damaged, as only its reader can tell."""
    with runs(tmp_path, "--config.train.steps=4", seeds=(0, 1)) as trainings:
        train_at_once(trainings)
    with runs(tmp_path, seeds=(0, 1)) as trainings:
        train_at_once(trainings)
    for file in (tmp_path / "run" / "checkpoints" / "8").rglob("*"):
        with suppress(IsADirectoryError):
            file.write_bytes(b"")
    with runs(tmp_path, "--config.train.steps=12", seeds=(0, 1)) as trainings:
        train_at_once(trainings)
    assert "one seed after the other: their newest sound checkpoints are of different steps" in capsys.readouterr().out
