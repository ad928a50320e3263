"""Three seeds one after the other, and at once by one program, in turns in one process.

python -m benchmarks.seeds --out DIR [--rounds 3]

Each turn trains the seeds from their beginning. `seconds` are those of the log's rows but the first, which holds the compile,
summed over the seeds; `whole` is the wall time of the turn, with compiles, a checkpoint and a picture. Both are medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.machine import circumstances
from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.seeds import runs_of_arm
from experiments.config.tiny import tiny
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.runs.metrics import rows
from experiments.runs.record import session
from experiments.runtime.compile_cache import keep_compiled
from experiments.runtime.progress import console
from experiments.runtime.startup import make_fast
from experiments.training.at_once import train_at_once
from experiments.training.course import Training
from experiments.training.loop import train

CASES = {
    "moons, tiny": ("configs/toy2d/moons.py:tiny", 2000),
    "moons": ("configs/toy2d/moons.py", 400),
    "digits": ("configs/digits/vp.py", 60),
}
"""A config, and the steps of each seed."""
INTERVALS = 5
"""The rows of a log."""
WAYS: dict[str, Callable[[Sequence[Training]], object]] = {
    "one after the other": lambda trainings: [train(*training) for training in trainings],
    "at once": train_at_once,
}


def turn(config: Config, way: str) -> tuple[float, float]:
    """Returns the seconds of the rows but the first, and of the whole, of all seeds trained in that way."""
    data = load(open_sources(config.data), config.data, config.seed)
    experiment = build(config, data.shape, data.classes, data.moments)
    with tempfile.TemporaryDirectory() as there, ExitStack() as stack:
        trainings = []
        for name, own in runs_of_arm("run", config).items():
            folder, of_seed = Path(there) / name, data.by(own.seed)
            record = stack.enter_context(session(folder, own, of_seed.facts, "benchmarks.seeds", training=True))
            trainings.append(Training(experiment._replace(config=own), of_seed, folder, record))
        began = time.perf_counter()
        WAYS[way](trainings)
        whole = time.perf_counter() - began
        return sum(row["seconds"] for each in trainings for row in rows(each.workdir / "metrics.jsonl")[1:]), whole


def measured(file: str, steps: int, rounds: int) -> dict[str, Any]:
    """Returns the medians over turns of each way, and their ratios."""
    cadence = {"log_every": steps // INTERVALS, "sample_every": 10**9, "checkpoint_every": 10**9, "steps": steps}
    overrides = [f"--config.train.{key}={value}" for key, value in cadence.items()]
    tree = read_config(file, ["--config.train.seeds=(0, 1, 2)", *overrides], {"tiny": tiny})
    turns: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, of_way in turns.items():
            of_way.append(turn(Config.model_validate(tree), way))
    seconds, whole = ({way: median(each[i] for each in of_way) for way, of_way in turns.items()} for i in (0, 1))
    alone, at_once = WAYS
    return {
        "seconds": seconds,
        "whole": whole,
        "ratio": seconds[alone] / seconds[at_once],
        "ratio of the whole": whole[alone] / whole[at_once],
        "turns": turns,
    }


def main() -> None:
    """Measures each case and writes seeds.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that seeds.json is written to")
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    console.quiet = True
    keep_compiled(False)
    results = {}
    for name, (file, steps) in CASES.items():
        results[name] = measured(file, steps, words.rounds)
        ratios = f"{results[name]['ratio']:.2f} times as long by their steps, {results[name]['ratio of the whole']:.2f} in all"
        print(f"{name}: one after the other takes {ratios}", flush=True)
    words.out.mkdir(parents=True, exist_ok=True)
    (words.out / "seeds.json").write_text(json.dumps({"machine": circumstances(), "seeds": results}, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
