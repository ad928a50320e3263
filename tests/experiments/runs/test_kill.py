"""Deaths and signals: after kill -9 the same command ends as if nothing had been, to the last bit; a signal saves in time."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from forked import Forked

from experiments.runs.checkpoint import Checkpoints

ROOT = Path(__file__).parents[3]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
BUDGET = 10.0
"""Seconds from a signal to the end."""

TRAIN = {"batch": 16, "warm_up": 2, "decay": "constant", "steps_per_call": 1, "log_every": 4, "steps": 27}
TRAIN |= {"checkpoint_every": 6, "sample_every": 10}  # 27 is on no schedule
MEASURE = {"n": 64, "seeds": 2, "batch": 64, "likelihood": 16, "noise_levels": 3}

CONFIG = """
from configs.{base} import get_config as base

def get_config():
    config = base()
    config.samplers = {{"ancestral": {{**config.samplers.ancestral, "n": 4, "sweep": {{}}}}}}
    config.train.update({train})
    config.evaluate.update({measure})
    config.sample.n = 64
    {changes}
    return config
"""

# A mixture in place of the moons: scikit-learn, which draws these, takes a fifth of such a run to import.
POINTS = "toy2d.moons", 'config.data.name = "gaussian_mixture"; config.net.update({"width": 16, "depth": 1})'
UNET = "digits.vp", 'config.net.update({"width": 8, "multipliers": (1,), "dropout": 0.2}); config.data.flip = True'
AWARE = POINTS[0], POINTS[1] + '; config.times = {"name": "loss_aware"}'
HELD = POINTS[0], 'config.data.name = "gaussian_mixture"; config.net = {"name": "held:Net"}'
ARMS = POINTS[0], POINTS[1] + '; config.arms = {"a": {"title": "A"}, "b": {"title": "B", "parameterization": "eps"}}'

# A user's network that stands still while a file says so: as it is traced, which is a long compile; as it runs, a long call.
PART = """
import os, time
from pathlib import Path
import jax
import jax.numpy as jnp
from flax import linen

def hold(name):
    file = Path(os.environ["HOLD"]) / name
    while file.exists():
        file.with_suffix(".held").touch()
        time.sleep(0.02)

def held(c_noise):
    hold("run")
    hold("step" if c_noise.size > 1 else "sampling")  # of which all samples share their t
    return c_noise

class Net(linen.Module):
    width: int = 8

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        hold("trace")
        like = jax.ShapeDtypeStruct(c_noise.shape, c_noise.dtype)
        c_noise = jax.pure_callback(held, like, jax.lax.stop_gradient(c_noise), vmap_method="broadcast_all")
        h = linen.silu(linen.Dense(self.width)(x) + linen.Dense(self.width)(c_noise[:, None]))
        return linen.Dense(x.shape[-1])(h)
"""


class Running:
    """A command in a process of its own, and what can be seen of it from outside.

    It is forked from a process that has imported everything, unless it is to be a `fresh` interpreter.
    """

    def __init__(
        self,
        folder: Path,
        kind: tuple[str, str],
        name: str = "run",
        command: str = "train",
        overrides: tuple = (),
        fresh: bool = False,
    ):
        self.folder, self.run, self._out, self._err = folder, folder / name, folder / "out", folder / "err"
        (folder / "hold").mkdir(exist_ok=True)
        (folder / "held.py").write_text(PART)
        file = folder / "config.py"
        file.write_text(CONFIG.format(base=kind[0], changes=kind[1], train=TRAIN, measure=MEASURE))
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "onesde" / "xla"
        env = os.environ | {
            "PYTHONPATH": f"{ROOT}:{folder}",
            "HOLD": str(folder / "hold"),
            "JAX_COMPILATION_CACHE_DIR": str(cache),  # for what is compiled before the run sets its own
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        argv = [command, f"--config={file}", f"--workdir={self.run}", *overrides]
        self.before = self.rows()
        with self._out.open("w") as out, self._err.open("w") as err:
            if fresh:
                argv = [sys.executable, "-m", "experiments", *argv]
                self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=out, stderr=err)
            else:
                self.process = Forked(argv, env, self._out, self._err)
        self.began, self.compiling, self.ended = time.monotonic(), 0.0, 0.0

    def age(self) -> float:
        """Seconds since it began; once it has ended, that it took."""
        return (self.ended or time.monotonic()) - self.began

    def training(self) -> float:
        """Seconds since it began to compile the training step."""
        if self.said("compiling the training step"):
            self.compiling = self.compiling or time.monotonic()
        return time.monotonic() - self.compiling if self.compiling else 0.0

    def said(self, words: str) -> bool:
        return words in self._out.read_text()

    def rows(self) -> int:
        log = self.run / "metrics.jsonl"
        return log.read_text().count("\n") if log.exists() else 0

    def saving(self) -> list[Path]:
        return list((self.run / "checkpoints").glob("*.orbax-checkpoint-tmp*"))

    def undrawn(self) -> list[int]:
        """Steps that are saved, and whose picture is not there yet."""
        steps = [step for step in saved(self.run) if step % TRAIN["sample_every"] == 0]
        return [step for step in steps if not (self.run / "samples" / f"step_{step:07d}.png").exists()]

    def until(self, so: Callable[["Running"], object], limit: float = 120) -> bool:
        """Whether it came about before the process ended."""
        end = time.monotonic() + limit
        while not so(self):
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < end, f"{self.process.args}: it never came about"
            time.sleep(0.001)
        return True

    def kill(self, so: Callable[["Running"], object]) -> bool:
        """kill -9 when it is so: whether the process was still there to be killed."""
        there = self.until(so)
        self.process.kill()
        self.process.wait()
        return there

    def done(self) -> "Running":
        assert self.process.wait(300) == 0, self.errors()
        assert not self.errors()
        self.ended = time.monotonic()
        return self

    def hold(self, name: str, so: Callable[["Running"], object]) -> None:
        """From when it is so, the network stands still where it is traced, or where it runs; waits until it does."""
        assert self.until(so)
        (self.folder / "hold" / name).touch()
        assert self.until(lambda now: (self.folder / "hold" / f"{name}.held").exists())

    def release(self) -> None:
        for file in (self.folder / "hold").iterdir():
            file.unlink()

    def status(self) -> str:
        """What the record says of the last session; nobody holds the folder any more."""
        assert not (self.run / "LOCK").exists()
        return json.loads((self.run / "run.json").read_text())["sessions"][-1]["status"]

    def errors(self) -> str:
        """Standard error, but for the line that the command starts again."""
        lines = self._err.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if "restarting once with GLIBC_TUNABLES" not in line)

    def signalled(self, number: int) -> float:
        """Seconds that it takes to end after a signal; it ends with 75 and a line or two."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(60)
        took, said = time.monotonic() - began, self.errors()
        assert code == 75, (code, said)
        assert 1 <= len(said.splitlines()) <= 2, said
        assert "Traceback" not in said
        return took


def saved(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdigit())


WALL_CLOCK = {"seconds", "images_per_second", "created", "train_seconds", "evaluate_seconds", "steps_per_second", "command"}
WALL_CLOCK |= {"compiles"}
"""Keys whose values depend on the clock, or on a single session."""


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(v) for key, v in value.items() if key not in WALL_CLOCK}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def result(run: Path) -> dict[str, Any]:
    """All that a run is, without the wall clock: digests of every leaf of its last state, its log, its pictures, its report."""
    step = saved(run)[-1]
    leaves = json.loads((run / "checkpoints" / str(step) / "seal" / "metadata").read_text())["leaves"]
    log = [timeless(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pictures = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted((run / "samples").glob("*.png"))}
    return {"step": step, "log": log, "pictures": pictures, "leaves": leaves}


def assert_same(run: Path, whole: Path) -> None:
    """The same result, and nothing left over from the deaths."""
    one, other = result(run), result(whole)
    for key in ("step", "log", "leaves"):
        assert one[key] == other[key], key
    assert one["pictures"].items() >= other["pictures"].items()  # there may be more, where sample_every was less for a while
    assert len(other["pictures"]) == 3
    assert other["step"] == TRAIN["steps"]
    assert {name.partition("/")[0] for name in other["leaves"]} >= {"step", "params", "ema", "opt", "tally"}
    assert len(saved(run)) == 2
    left = [*run.rglob(".part-*"), *run.rglob("*orbax-checkpoint-tmp*"), *run.rglob("*.corrupt*"), *run.glob("LOCK")]
    assert not left


KILLS = {
    "compile": lambda now: now.said("compiling the training step"),
    "step": lambda now: now.rows() > now.before,
    "save": Running.saving,
    "picture": Running.undrawn,
}
RARE_KILLS = {
    "import": lambda now: now.age() > 0.8,
    "log": lambda now: list(now.run.glob(".part-*-metrics.jsonl")),
    "picture file": lambda now: list((now.run / "samples").glob(".part-*")),
    "end": lambda now: now.said("train: done"),
}
"""Of which the files are there for less than a millisecond: a try may miss them."""


@pytest.mark.slow
@pytest.mark.parametrize("places", [("save",), tuple(KILLS)], ids=["once", "everywhere"])
def test_a_run_that_dies_again_and_again_is_one_that_never_did(tmp_path, places):
    """kill -9 mid-save, and also as it compiles, mid-step and mid-picture; then SIGTERM mid-step: all of one run."""
    whole = Running(tmp_path, HELD, "whole").done().run
    for place in places:
        running = Running(tmp_path, HELD)
        if place == "picture":
            running.hold("sampling", lambda now: True)
        assert running.kill(KILLS[place]), place
        running.release()
    stopped = Running(tmp_path, HELD)
    assert stopped.until(KILLS["step"])
    assert stopped.signalled(signal.SIGTERM) < BUDGET
    assert stopped.status() == "stopped"
    assert "which is saved" in stopped.errors() or "nothing that was saved is lost" in stopped.errors()  # as it draws
    ended = Running(tmp_path, HELD).done()
    assert_same(ended.run, whole)
    assert not ended.said("warning")


@pytest.mark.slow
def test_a_signal_after_the_end_changes_nothing(tmp_path):
    """While the interpreter winds up, which takes as long as a kill: done is done."""
    running = Running(tmp_path, POINTS, overrides=("--config.train.steps=2",))
    assert running.until(RARE_KILLS["end"])
    time.sleep(0.05)
    running.process.send_signal(signal.SIGTERM)
    running.done()
    assert running.status() == "done"


FREE = (), ("--config.train.checkpoint_every=5",), ("--config.train.sample_every=5",), ("--config.evaluate.likelihood=8",)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [POINTS, AWARE, UNET], ids=["points", "loss_aware", "unet"])
def test_killed_anywhere(tmp_path, kind):
    """20 times at any moment and once at each that has a name, with other keys that a run is free to change in between."""
    Running(tmp_path, kind, "first").done()  # it compiles, so that moments below are within the runs that they are to kill
    whole = Running(tmp_path, kind, "whole")
    whole.until(lambda now: now.training() < 0)  # never: to its end
    whole.done()
    seconds, training = whole.age(), whole.ended - whole.compiling
    rng, number = random.Random(0), 0
    moments = [*KILLS.items(), *RARE_KILLS.items()]
    moments += [(f"{t:.2f} s", lambda now, t=t: now.age() > t) for t in (rng.uniform(0, seconds) for _ in range(6))]
    later = [rng.uniform(0, training) for _ in range(14)]
    moments += [(f"compile + {t:.2f} s", lambda now, t=t: now.training() > t) for t in later]
    rng.shuffle(moments)
    for place, so in moments:
        name = f"run{number}"
        running = Running(tmp_path, kind, name, overrides=rng.choice(FREE), fresh=place == "import")
        there = running.kill(so)
        print(f"{name}: {'killed' if there else 'missed'} at {place}, step {saved(running.run)[-1:]}")
        assert not running.said("warning")
        assert not running.errors()
        if not there or place == "end":  # it came to its end
            assert_same(Running(tmp_path, kind, name).done().run, whole.run)
            number += 1
    assert_same(Running(tmp_path, kind, f"run{number}").done().run, whole.run)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=[s.name for s in SIGNALS])
def test_a_signal_in_each_phase_of_training(tmp_path, number):
    """Import, compile, step, save, picture: 75 in time, nobody holds the folder, and the run is as if nothing had been."""
    whole = Running(tmp_path, HELD, "whole").done().run
    for phase in ("import", "compile", "step", "save", "picture"):
        running = Running(tmp_path, HELD, fresh=phase == "import")
        if phase == "compile":
            running.hold("trace", KILLS[phase])
        elif phase == "picture":
            running.hold("sampling", lambda now: True)
        else:
            assert running.until((KILLS | RARE_KILLS)[phase])
        took = running.signalled(number)
        print(f"{number.name} {phase}: {took:.1f} s, {running.errors().strip()}")
        running.release()
        assert took < BUDGET, phase
        if phase != "import":
            assert running.status() == "stopped"
    assert_same(Running(tmp_path, HELD).done().run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=[s.name for s in SIGNALS])
def test_a_signal_in_each_phase_of_evaluation(tmp_path, number):
    """Sampling and likelihood, each in the middle of a long call; kill -9 as well; then the report that it would have been."""
    whole = Running(tmp_path, HELD, "whole").done().run
    shutil.copytree(whole, tmp_path / "run")
    Running(tmp_path, HELD, "whole", "evaluate").done()
    for words in ("sampling with", "likelihood of"):
        for end in (signal.SIGKILL, number):
            running = Running(tmp_path, HELD, command="evaluate")
            running.hold("run", lambda now, words=words: now.said(words))
            if end is signal.SIGKILL:
                running.kill(lambda now: True)
            else:
                took = running.signalled(number)
                print(f"{number.name} {words}: {took:.1f} s, {running.errors().strip()}")
                assert took < BUDGET, words
                assert running.status() == "stopped"
            running.release()
            assert not (running.run / "report.json").exists()
    run = Running(tmp_path, HELD, command="evaluate").done().run
    reports = [timeless(json.loads((folder / "report.json").read_text())) for folder in (run, whole)]
    assert reports[0] == reports[1]
    assert result(run)["pictures"] == result(whole)["pictures"]
    running = Running(tmp_path, HELD, command="sample")
    running.hold("run", lambda now: True)
    took = running.signalled(number)
    print(f"{number.name} sample: {took:.1f} s, {running.errors().strip()}")
    running.release()
    assert took < BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=[s.name for s in SIGNALS])
def test_a_signal_as_data_and_features_are_prepared(tmp_path, number):
    """The digits as they are written; the classifier as it is fit."""
    more = f"--config.data.data_dir={tmp_path / 'data'}", "--config.evaluate.features=classifier"
    writing = Running(tmp_path, UNET, overrides=more)
    assert writing.until(lambda now: list((tmp_path / "data").glob("digits/*")))
    took = writing.signalled(number)
    print(f"{number.name} data: {took:.1f} s, {writing.errors().strip()}")
    assert took < BUDGET
    Running(tmp_path, UNET, overrides=more).done()
    fitting = Running(tmp_path, UNET, command="evaluate", overrides=more, fresh=True)
    assert fitting.until(lambda now: now.age() > 7)
    took = fitting.signalled(number)
    print(f"{number.name} features: {took:.1f} s, {fitting.errors().strip()}")
    assert took < BUDGET


@pytest.mark.slow
def test_no_end_is_made_where_it_would_lose_steps(tmp_path):
    """A step that takes longer than the grace is waited for, and saved; a second signal does not wait.

    No checkpoint is due before: right after one, there would be no step to lose.
    """
    never = ("--config.train.checkpoint_every=1000", "--config.train.sample_every=1000")
    for second in (False, True):
        running = Running(tmp_path, HELD, f"run{second}", overrides=never)
        running.hold("run", KILLS["step"])
        running.process.send_signal(signal.SIGTERM)
        time.sleep(9)
        assert running.process.poll() is None
        if second:
            assert running.signalled(signal.SIGTERM) < 2
            assert "stopped at once" in running.errors()
        else:
            running.release()
            assert running.process.wait(BUDGET) == 75
            assert "which is saved" in running.errors()
        assert running.status() == "stopped"
        running.release()


WRITING = """
import sys, time
from pathlib import Path
from experiments.runtime.signals import listen
listen(grace=0.1)
import jax.numpy as jnp
from experiments.runs.checkpoint import Checkpoints
with Checkpoints(Path(sys.argv[1]), "run") as checkpoints:
    checkpoints.save(1, {str(i): jnp.full((8_000_000,), i * 1.0) + jnp.arange(8_000_000) for i in range(16)})
    print("saving", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_no_end_is_made_while_a_checkpoint_is_written(tmp_path):
    """Half a gigabyte on its way to the disk as the signal comes: it is whole, though the grace was over."""
    argv = [sys.executable, "-c", WRITING, str(tmp_path / "checkpoints")]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "saving\n"
    assert list((tmp_path / "checkpoints").glob("*.orbax-checkpoint-tmp*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    with Checkpoints(tmp_path / "checkpoints", "run", writing=False) as checkpoints:
        assert list(checkpoints.verify()) == [(1, "")]


@pytest.mark.slow
def test_an_exception_closes_the_manager_and_the_exit_does_not_hang(tmp_path):
    """The save that was under way is whole."""
    program = WRITING.replace("time.sleep(60)", "raise ValueError('meanwhile')")
    argv = [sys.executable, "-c", program, str(tmp_path / "checkpoints")]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "ValueError: meanwhile"
    with Checkpoints(tmp_path / "checkpoints", "run", writing=False) as checkpoints:
        assert list(checkpoints.verify()) == [(1, "")]


SEEDS = (ARMS[0], ARMS[1] + "; config.train.update({'seeds': (0, 1, 2), 'seeds_at_once': 3})")


@pytest.mark.slow
def test_seeds_at_once_that_die(tmp_path):
    """kill -9 as they are compiled, in a step, and with one saved and another not; SIGTERM: the rows of those that did not."""
    whole = Running(tmp_path, SEEDS, "whole", "compare").done().run
    names = [f"{arm}{seed}" for arm in ("a", "b") for seed in ("", "_seed_1", "_seed_2")]
    deaths = {
        "compile": lambda now: now.said("compiling the training step of seeds 0, 1, 2 at once"),
        "step": lambda now: (now.run / "a_seed_2" / "metrics.jsonl").exists(),
        "save": lambda now: saved(now.run / "a") != saved(now.run / "a_seed_2"),
    }
    for so in deaths.values():
        assert Running(tmp_path, SEEDS, command="compare").kill(so)
    steps = [saved(tmp_path / "run" / name) for name in names[:3]]
    stopped = Running(tmp_path, SEEDS, command="compare")
    assert stopped.until(lambda now: (now.run / "b_seed_1" / "metrics.jsonl").exists())
    assert stopped.signalled(signal.SIGTERM) < BUDGET
    run = Running(tmp_path, SEEDS, command="compare").done().run
    print(f"saved at the kill: {steps}, and in the end: {saved(run / 'a')}")
    for name in names:
        one, other = result(run / name), result(whole / name)
        assert (one["step"], len(one["pictures"]), one["leaves"].keys()) == (27, 3, other["leaves"].keys())
        for row, of_other in zip(one["log"], other["log"], strict=True):
            assert row == pytest.approx(of_other, rel=1e-3)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (run, whole)]
    assert [arm["name"] for arm in reports[0]["arms"]] == [arm["name"] for arm in reports[1]["arms"]] == ["a", "b"]


@pytest.mark.slow
def test_a_comparison_that_dies(tmp_path):
    """kill -9 in the second arm's training and in its evaluation: the report is that of one that did not."""
    whole = Running(tmp_path, ARMS, "whole", "compare").done().run
    for so in (lambda now: (now.run / "b" / "metrics.jsonl").exists(), lambda now: saved(now.run / "b")[-1:] == [27]):
        assert Running(tmp_path, ARMS, command="compare").kill(so)
    run = Running(tmp_path, ARMS, command="compare").done().run
    reports = [timeless(json.loads((folder / "report.json").read_text())) for folder in (run, whole)]
    assert reports[0] == reports[1]
    for arm in ("a", "b"):
        assert_same(run / arm, whole / arm)
    names = [path.relative_to(whole) for path in whole.glob("sheets/*/*.png")]
    assert names
    assert all((run / name).read_bytes() == (whole / name).read_bytes() for name in names)
