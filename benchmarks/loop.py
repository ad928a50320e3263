"""The cost of the loop around the training step, and the seconds before the first step.

python -m benchmarks.loop --out DIR [--rounds 5] [--intervals 4] [--only digits] [--start-up]

Steps: `train`'s own loop (its batches, a row of its log every few steps) against as many steps of the compiled program alone on
batches that lie on the device, in turns in one process, each first in every other round: with one step a call, and with as many
as the loop chooses by itself, alone all of a row in one call. The loop's seconds are those of its log's rows but the first two
of each turn, and a turn's are their median. The share outside the steps is the median over rounds, each of neighbouring turns,
with its quartiles. Checkpoints and pictures come every thousands of steps and are left out.

Start-up: seconds from a process's start to the first row of its log, with an empty compile cache (cold) and again (warm), of
the digits demo; and of DDPM++ on CIFAR-10 the seconds to trace and to compile its step, which is not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import jax
import numpy as np

from benchmarks.common.machine import circumstances
from configs.cifar10 import ddpm_continuous_vp
from configs.digits import vp
from experiments.build.build import build
from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state
from experiments.config.schema import Config
from experiments.data.dataset import Dataset, load
from experiments.data.feed import stacked
from experiments.data.sources import open_sources
from experiments.randomness import Purpose, stream
from experiments.runs.metrics import rows
from experiments.runs.record import session
from experiments.runtime import devices
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.progress import console
from experiments.runtime.startup import make_fast
from experiments.training.loop import train
from experiments.training.step import make_step

SHAPES = {"digits, width 16, batch 64": ((8, 8, 1), 50), "CIFAR-10 shape, width 16, batch 8": ((32, 32, 3), 10)}
"""Shapes of an image, and steps between rows of the log."""


def config_of(name: str, folder: Path, steps: int) -> Config:
    """Returns the recipe of the digits, or a narrow one of CIFAR-10, on random levels in `folder`."""
    digits = SHAPES[name][0][-1] == 1
    config = (vp if digits else ddpm_continuous_vp).get_config()
    config.data.update({"name": "npz", "data_dir": str(folder)})
    if not digits:
        config.net.update({"width": 16, "multipliers": (1, 2), "blocks": 1})
        config.train.batch = 8
        config.sample.sampler = "few"  # for the picture at the end, which is not measured
        config.samplers = {"few": {"step": {"name": "ddim"}, "grid": {"name": "uniform_grid"}, "n": 2}}
    config.train.update({"steps": steps, "log_every": SHAPES[name][1], "sample_every": 10**9, "checkpoint_every": 10**9})
    return Config.model_validate(json.loads(config.to_json()), strict=False)


def random_levels(folder: Path, name: str) -> Path:
    """Writes as many random examples as the data has, of its shape, and returns the folder."""
    (shape, _), n = SHAPES[name], 1437 if name.startswith("digits") else 50_000
    for split, size in (("train", n), ("test", 64)):
        images = np.random.default_rng(size).integers(0, 256, (size, *shape), np.uint8)
        np.savez(folder / f"{split}.npz", image=images)
    return folder


def in_loop(experiment: Experiment, data: Dataset, folder: Path) -> list[float]:
    """Returns seconds a step of `train`, from each row of its log but the first two."""
    with session(folder, experiment.config, data.facts, "benchmarks.loop", training=True) as record:
        train(experiment, data, folder, record)
    return [row["seconds"] / experiment.config.train.log_every for row in rows(folder / "metrics.jsonl")[2:]]


def alone(experiment: Experiment, data: Dataset, n: int) -> list[float]:
    """Returns seconds a step of the compiled program alone, from each row's worth of calls but the first two."""
    config = experiment.config.train
    every = config.log_every
    of_call = config.steps_per_call or every
    optimizer = make_optimizer(config)
    advance = devices.pmapped(make_step(experiment, optimizer, stream(0, Purpose.STEP)))
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    block = devices.split(stacked([data.train.batch(0, config.batch)] * of_call), axis=1)
    seconds = []
    for _ in range(n // every):
        began = time.perf_counter()
        for _ in range(every // of_call):
            state = advance(state, block)
        jax.block_until_ready(state)
        seconds.append((time.perf_counter() - began) / every)
    return seconds[2:]


def steps(rounds: int, intervals: int, only: str) -> list[dict[str, Any]]:
    """Returns rows for each shape whose name begins so: with one step a call, and with as many as the loop chooses."""
    results = []
    for name, (shape, every) in SHAPES.items():
        if not name.startswith(only):
            continue
        n = every * (intervals + 2)
        with tempfile.TemporaryDirectory() as there:
            config = config_of(name, random_levels(Path(there), name), n)
            data = load(open_sources(config.data), config.data, 0)
            experiment = build(config, shape)
            times = {by: {"loop": [], "step": []} for by in (1, None)}
            for i, (by, turns) in product(range(rounds), times.items()):
                section = config.train.model_copy(update={"steps_per_call": by})
                same = experiment._replace(config=config.model_copy(update={"train": section}))
                for key in ("loop", "step") if i % 2 else ("step", "loop"):
                    turn = in_loop(same, data, Path(there) / f"run{i}_{by}") if key == "loop" else alone(same, data, n)
                    turns[key].append(median(turn))
        for by, turns in times.items():
            loop, step = (median(turns[key]) * 1e3 for key in ("loop", "step"))
            low, outside, high = quantiles([1 - b / a for a, b in zip(turns["loop"], turns["step"], strict=True)])
            share = {"outside": outside, "quartiles": (low, high)}
            results.append({"shape": name, "steps_per_call": by, "ms_loop": loop, "ms_step": step, **share, **turns})
            seconds = f"{loop:.2f} ms a step in the loop, {step:.2f} ms alone"
            print(f"{name}, steps_per_call {by}: {seconds}, {outside:.1%} outside ({low:.1%} to {high:.1%})", flush=True)
    return results


def to_first_step(config: str, command: str, cache: Path, *more: str) -> float:
    """Returns the seconds from a process's start to the first row of a log in its folder, and kills it."""
    with tempfile.TemporaryDirectory() as there:
        argv = [sys.executable, "-m", "experiments", command, f"--config={config}", f"--workdir={there}/run"]
        env = os.environ | {"XDG_CACHE_HOME": str(cache)}
        began = time.perf_counter()
        process = subprocess.Popen([*argv, "--config.train.log_every=1", *more], env=env, stdout=subprocess.DEVNULL)
        try:
            while not any(path.stat().st_size for path in Path(there).glob("run/**/metrics.jsonl")):
                if process.poll() is not None:
                    raise RuntimeError(f"{argv} ended with {process.returncode} before its first step")
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


COMPILE = """
import json, sys, time
began = time.perf_counter()
import jax
from configs.cifar10 import ddpmpp_continuous_vp
from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.config.schema import Config
from experiments.randomness import Purpose, stream
from experiments.runs.resume import state_shapes
from experiments.runtime import devices
from experiments.runtime.compile_cache import keep_compiled
from experiments.training.step import make_step
keep_compiled()
config = Config.model_validate(json.loads(ddpmpp_continuous_vp.get_config().to_json()), strict=False)
experiment = build(config, (32, 32, 3))
built = time.perf_counter()
batch = jax.ShapeDtypeStruct((1, config.train.batch, 32, 32, 3), "uint8")
step = devices.pmapped(make_step(experiment, make_optimizer(config.train), stream(0, Purpose.STEP)))
lowered = step.lower(state_shapes(experiment), batch)
traced = time.perf_counter()
lowered.compile()
print(json.dumps({"import_and_build": built - began, "trace": traced - built, "compile": time.perf_counter() - traced}))
"""


def compile_seconds(cache: Path) -> dict[str, float]:
    """Returns the seconds to import and build, to trace and to compile (or load) DDPM++'s step, in a new process."""
    env = os.environ | {"XDG_CACHE_HOME": str(cache)}
    ended = subprocess.run([sys.executable, "-c", COMPILE], env=env, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def start_up() -> dict[str, Any]:
    """Returns the seconds to the first step, with a cold compile cache and a warm one."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("cold", "warm", "warm again"):
            results[f"demo, {name}"] = to_first_step("configs/digits/ddpm_vs_ncsn.py", "compare", Path(cache))
            print(f"demo, {name}: {results[f'demo, {name}']:.1f} s to the first step", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        for name in ("cold", "warm"):
            results[f"DDPM++, {name}"] = compile_seconds(Path(cache))
            print(f"DDPM++, {name}: {results[f'DDPM++, {name}']}", flush=True)
    return results


def main() -> None:
    """Measures the loop, or start-up, and writes loop.json or start_up.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that loop.json is written to")
    parser.add_argument("--rounds", type=int, default=5, help="2 at least")
    parser.add_argument("--intervals", type=int, default=4, help="rows of the log in each turn")
    parser.add_argument("--only", default="", help="the beginning of the names of the shapes")
    parser.add_argument("--start-up", action="store_true", help="measure that instead")
    words = parser.parse_args()
    console.quiet = True
    if words.start_up:
        name, results = "start_up", start_up()
    else:
        keep_compiled()
        name, results = "loop", steps(words.rounds, words.intervals, words.only)
    words.out.mkdir(parents=True, exist_ok=True)
    (words.out / f"{name}.json").write_text(json.dumps({"machine": circumstances(), name: results}, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
