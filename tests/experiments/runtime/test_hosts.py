"""Devices and hosts: the same run on any number of them, one process in a folder, and no process that waits for a dead one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, MOONS, TINY, drawn, metrics, run
from source_files import ROOT

from experiments.runtime.lock import exclusive

pytestmark = pytest.mark.usefixtures("in_root")

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
CLIFF = "--config.weight={'name': 'user_parts:cliff', 'edge': 0.501}"
DIGITS_SMALL = [
    "--config.net={'name': 'DDPM', 'width': 16, 'multipliers': (1, 2), 'blocks': 1, 'attention': ()}",
    *("--config.evaluate.features=pixels", "--config.train.steps=4"),
]
SMALL = [*TINY, ONE_SAMPLER, "--config.train.log_every=1", "--config.train.keep=9"]

OURS = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}  # which importing jax has set


def start(workdir, *more, command="train", devices=2, config=MOONS):
    """A process of its own on so many CPU devices; it leads a group, and its words are in `process.words`."""
    words = workdir.parent / f"{time.monotonic_ns()}.log"
    argv = [command, f"--config={config}", f"--workdir={workdir}", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *argv],
        cwd=ROOT,
        env=OURS | {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT / "tests" / "support")},
        stdout=words.with_suffix(".out").open("w"),
        stderr=words.open("w"),
    )
    process.words = words
    return process


def several(n, workdir, *more, command="train", devices=2, config=MOONS):
    """So many processes on loopback."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = lambda i: f"--distributed=localhost:{port},{n},{i}"
    return [start(workdir, *SMALL, *more, place(i), command=command, devices=devices, config=config) for i in range(n)]


def pair(workdir, *more, command="train", devices=2):
    return several(2, workdir, *more, command=command, devices=devices)


def codes(processes, within=240):
    """The exit codes, of processes that are to end by themselves."""
    until = time.monotonic() + within
    try:
        return [process.wait(timeout=max(until - time.monotonic(), 0.1)) for process in processes]
    finally:
        for process in processes:
            process.kill()


def errors(process):
    return process.words.read_text()


def said(process):
    return process.words.with_suffix(".out").read_text()


def until(there, *processes, within=240):
    """Waits for `there()`, while the processes live."""
    end = time.monotonic() + within
    while not there():
        assert time.monotonic() < end, [said(p) + errors(p) for p in processes]
        assert all(p.poll() is None for p in processes), [said(p) + errors(p) for p in processes]
        time.sleep(0.02)


def steps_of(workdir):
    return len((workdir / "metrics.jsonl").read_text().splitlines()) if (workdir / "metrics.jsonl").exists() else 0


def losses(workdir, n):
    return [(row["loss"], row["grad_norm"]) for row in metrics(workdir)[:n]]


@pytest.mark.slow
def test_two_processes_are_one_run_that_no_process_outlives(tmp_path, capsys):
    """They train as one, keep others out, end with the first that dies, and one process goes on from where they were."""
    both = pair(tmp_path / "run", "--config.train.steps=1000000", "--config.train.checkpoint_every=4")
    try:
        until(lambda: (tmp_path / "run" / "checkpoints" / "8").is_dir(), *both)
        assert run("train", tmp_path / "run", "--config.train.steps=1000000") == 6
        error = capsys.readouterr().err
        for who in (f"process {both[0].pid} on {socket.gethostname()} since 20", "train --config="):
            assert who in error
        both[0].kill()  # whose end the other's jaxlib answers with abort()
        assert codes(both, within=40) == [-signal.SIGKILL, 5]
    finally:
        [process.kill() for process in both]
    assert errors(both[1]).count("\n") == 2
    assert "another process is gone" in errors(both[1])
    assert "the same command" in errors(both[1])

    last = max(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit())
    more = *SMALL, "--config.train.checkpoint_every=4"
    assert run("train", tmp_path / "run", f"--config.train.steps={last + 4}", *more) == 0
    words = capsys.readouterr().out
    for line in (f"process {both[0].pid} on", "taking over", "4 cpu in 2 process(es), and now 2 cpu in 1 process(es): sums in"):
        assert line in words
    assert run("train", tmp_path / "alone", "--config.train.steps=8", *more) == 0
    np.testing.assert_allclose(losses(tmp_path / "run", 8), losses(tmp_path / "alone", 8), rtol=2e-5)


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path):
    """On as many devices: every number and picture to float32 rounding; and the one's checkpoints are the other's."""
    often = "--config.train.checkpoint_every=4", "--config.train.sample_every=8"
    alone = start(tmp_path / "one", *SMALL, *often, "--config.train.steps=8", devices=4)
    assert codes(pair(tmp_path / "two", *often, "--config.train.steps=8")) == [0, 0]
    assert codes([alone]) == [0]
    np.testing.assert_allclose(losses(tmp_path / "two", 8), losses(tmp_path / "one", 8), rtol=2e-5)
    shown = [np.asarray(Image.open(tmp_path / run / "samples" / "step_0000008.png"), float) for run in ("one", "two")]
    assert np.mean(shown[0] != shown[1]) < 0.01

    # Each goes on from the other's, the two from the step before the one that both must find damaged.
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    (tmp_path / "moved" / "checkpoints" / "8" / "state" / "manifest.ocdbt").write_bytes(b"")
    both = pair(tmp_path / "moved", *often, "--config.train.steps=12")
    alone = start(tmp_path / "two", *SMALL, *often, "--config.train.steps=12", devices=4)
    assert codes([*both, alone]) == [0, 0, 0]
    assert "set aside as" in said(both[0])
    assert "resuming" in said(both[0])
    assert "1 process(es), and now 4 cpu in 2 process(es): sums in" in said(both[0])
    assert (tmp_path / "moved" / "checkpoints" / "8.corrupt").is_dir()
    np.testing.assert_allclose(losses(tmp_path / "two", 12), losses(tmp_path / "moved", 12), rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_processes_that_hold_shares_compute_what_one_does_whole(tmp_path, n):
    """Four devices among them: the same losses and pictures to rounding; and one process goes on whole from their shares."""
    wide = "--config.net.width=64", "--config.train.checkpoint_every=4", "--config.train.sample_every=8"
    shares = several(n, tmp_path / "shares", *wide, "--config.train.steps=8", "--config.train.shard=True", devices=4 // n)
    assert codes(shares) == [0] * n, errors(shares[0])
    assert codes([start(tmp_path / "whole", *SMALL, *wide, "--config.train.steps=8", devices=4)]) == [0]
    np.testing.assert_allclose(losses(tmp_path / "shares", 8), losses(tmp_path / "whole", 8), rtol=2e-5)
    shown = [picture(tmp_path / run, "step_0000008.png") for run in ("shares", "whole")]
    assert np.mean(shown[0] != shown[1]) < 0.01

    assert codes([start(tmp_path / "shares", *SMALL, *wide, "--config.train.steps=12", devices=4)]) == [0]
    back = several(n, tmp_path / "whole", *wide, "--config.train.steps=12", "--config.train.shard=True", devices=4 // n)
    assert codes(back) == [0] * n, errors(back[0])
    assert "resuming" in said(back[0])
    np.testing.assert_allclose(losses(tmp_path / "shares", 12), losses(tmp_path / "whole", 12), rtol=2e-5)


def picture(workdir, name):
    return np.asarray(Image.open(workdir / "samples" / name), float)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_processes_draw_and_measure_what_one_does_to_the_bit(tmp_path, n):
    """Four devices among them, 70 samples in batches of 64: images, distances, loss by noise level; of two, bits/dim."""
    likelihood = "--config.evaluate.bound_times=0", f"--config.evaluate.likelihood={4 if n == 2 else 0}"
    assert run("train", tmp_path, *DIGITS_SMALL, config=DIGITS) == 0
    sampled, measured = [], []
    for processes in (n, 1):
        for command in ("sample", "evaluate"):
            asked = *DIGITS_SMALL, *likelihood, "--config.sample.n=70", "--config.evaluate.n=70"
            them = several(processes, tmp_path, *asked, command=command, devices=4 // processes, config=DIGITS)
            assert codes(them) == [0] * processes, errors(them[0])
        sampled.append(picture(tmp_path, drawn(tmp_path / "samples", "ancestral_seed0").name))
        (arm,) = json.loads((tmp_path / "report.json").read_text())["arms"]
        measured.append([arm["samplers"][0]["frechet"]["values"], arm["bits_per_dim"], arm["loss_by_log_snr"]])
    np.testing.assert_array_equal(*sampled)
    assert sampled[0].std() > 1
    assert measured[0] == measured[1]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both(tmp_path):
    """In training at one step, which is saved; and between two batches of evaluation."""
    both = pair(tmp_path / "run", "--config.train.steps=1000000")
    until(lambda: steps_of(tmp_path / "run") > 3, *both)
    both[1].send_signal(signal.SIGTERM)
    assert codes(both, within=30) == [75, 75]
    stops = [next(line for line in errors(process).splitlines() if "stopped at step" in line) for process in both]
    assert stops[0] == stops[1]
    last = max(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit())
    assert f"stopped at step {last}, which is saved" in stops[0]

    long = "--config.evaluate.n=6400000", f"--config.train.steps={last}"
    both = pair(tmp_path / "run", *long, command="evaluate")
    until(lambda: "sampling with" in said(both[0]), *both)
    time.sleep(8)  # the compile
    both[1].send_signal(signal.SIGTERM)
    assert codes(both, within=30) == [75, 75]


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "when"), [(0, "compiling"), (1, "compiling"), (1, "saving"), (1, "training")])
def test_the_death_of_one_ends_the_other(tmp_path, victim, when):
    """With a line, and soon; both go on by the same command."""
    often = "--config.train.checkpoint_every=1", "--config.train.steps=1000000"
    both = pair(tmp_path / "run", *often)
    there = {
        "compiling": lambda: "compiling" in said(both[0]),
        "saving": lambda: any((tmp_path / "run" / "checkpoints").glob("[1-9]*.orbax-checkpoint-tmp*")),
        "training": lambda: steps_of(tmp_path / "run") > 3,
    }
    until(there[when], *both)
    both[victim].kill()
    code = codes(both, within=60)[1 - victim]
    assert code == 5
    assert 1 <= errors(both[1 - victim]).count("\n") <= 5
    assert "same command" in errors(both[1 - victim])


@pytest.mark.slow
def test_what_stops_the_first_stops_the_second(tmp_path):
    """A folder in use and steps that are not finite: one exit code in both."""
    with exclusive(tmp_path / "run"):
        both = pair(tmp_path / "run", "--config.train.steps=8")
        assert codes(both) == [6, 6]
        assert f"in use by process {os.getpid()}" in errors(both[0])
    both = pair(tmp_path / "run", "--config.train.steps=60", "--config.train.bad_steps=3", CLIFF)
    assert codes(both) == [4, 4]
    assert all("3 steps in a row were not finite" in errors(process) for process in both)
    assert json.loads((tmp_path / "run" / "nan_report.json").read_text())["batch"] == 64


RACE = """
import sys
from pathlib import Path
from experiments.runtime.errors import BusyError
from experiments.runtime.lock import exclusive
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with exclusive(folder):
        print("won", flush=True)
        sys.stdin.readline()
except BusyError:
    print("busy", flush=True)
"""


def test_of_those_who_start_at_once_one_wins(tmp_path, capsys):
    """And when that one is killed, the next takes over and says so."""
    argv = [sys.executable, "-c", RACE, str(tmp_path / "run")]
    racers = [subprocess.Popen(argv, cwd=ROOT, stdin=-1, stdout=-1, text=True) for _ in range(3)]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        assert sorted(racer.stdout.readline() for racer in racers) == ["busy\n", "busy\n", "won\n"]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    with exclusive(tmp_path / "run"):
        assert "exited without releasing the folder; taking over" in capsys.readouterr().out
    assert not (tmp_path / "run" / "LOCK").exists()


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path, capsys):
    """A file in its place, and one that refuses to be written."""
    (tmp_path / "file").write_text("")
    assert run("train", tmp_path / "file", "--config.train.steps=1") == 5
    assert run("train", tmp_path / "file" / "below", "--config.train.steps=1") == 5
    assert run("train", "/proc/run", "--config.train.steps=1") == 5  # where nobody may write, root included
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.splitlines()) <= 6


@pytest.mark.slow
@pytest.mark.parametrize("devices", [3, 1, 8])
def test_what_two_devices_saved_others_restore_bit_by_bit(tmp_path, devices):
    """By the digest of every leaf; and they sample it, though the training batch of 64 does not fall into three shares."""
    assert run("train", tmp_path / "run", "--config.train.steps=4", ONE_SAMPLER) == 0
    env = OURS | {"JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-m", "experiments", "ckpt", "verify", tmp_path / "run"]
    verified = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (verified.returncode, verified.stdout) == (0, "step 4: sound\n")
    batch = "--config.evaluate.batch=66"
    sampled = start(tmp_path / "run", *TINY, ONE_SAMPLER, "--config.train.steps=4", batch, command="sample", devices=devices)
    assert codes([sampled]) == [0], errors(sampled)
    there = picture(tmp_path / "run", drawn(tmp_path / "run" / "samples", "ancestral_seed0").name)
    assert run("sample", tmp_path / "run", "--config.train.steps=4", ONE_SAMPLER) == 0
    here = picture(tmp_path / "run", drawn(tmp_path / "run" / "samples", "ancestral_seed0").name)
    assert (there != here).mean() < 0.01
