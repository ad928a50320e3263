"""Seconds and memory as images, pixels, steps, arms, seeds and processes grow: the tables of docs/growth.md.

python -m benchmarks.growth --out DIR [--only NAME ...] [--most N] [--write docs/growth.md]

Each row is measured in a process of its own; `peak` is the most memory that it took, of which the libraries are about 0.4 GB.
The rows are kept in growth.json: a later run with --only replaces the tables that it names, and leaves the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.common.apart import apart
from benchmarks.common.loopback import train_together
from benchmarks.common.machine import circumstances
from benchmarks.common.markdown import table as markdown
from benchmarks.common.marked import write_part
from benchmarks.scale import sent
from experiments.runtime.startup import make_fast

Row = dict[str, Any]
MIB, MB = 2**20, 1e6
DIGITS = "--config=configs/digits/vp.py"
FOUR_STEPS = "--config.samplers={'ddim': {'step': 'ddim', 'grid': 'uniform_grid', 'n': 4}}"
BRIEF = ("--config.sample.sampler=ddim", FOUR_STEPS, "--config.train.steps=4", "--config.train.warm_up=1")
ALONE = ("--config.evaluate.seeds=1", "--config.evaluate.likelihood=0", "--config.evaluate.noise_levels=2")
FEATURES = 2048
"""The features of Inception."""


def command(*words: str) -> float:
    """Returns the seconds of a command of ours in this process."""
    from experiments.main import main

    began = time.perf_counter()
    if code := main([*words, "--no-compile-cache"]):
        raise RuntimeError(f"{words[0]} ended with {code}")
    return time.perf_counter() - began


def train(*words: str) -> None:
    """Trains a run in another process, whose memory does not count."""
    subprocess.run([sys.executable, "-m", "experiments", "train", *words], check=True, capture_output=True)


def evaluate_images(n: int) -> Row:
    """Returns the seconds of `evaluate` on n digits, and of them those of drawing; features are a classifier's."""
    with TemporaryDirectory() as folder:
        run = (DIGITS, f"--workdir={folder}", *BRIEF)
        train(*run)
        seconds = command("evaluate", *run, *ALONE, f"--config.evaluate.n={n}")
        (arm,) = json.loads((Path(folder) / "report.json").read_text())["arms"]
        return {"seconds": seconds, "drawing": arm["samplers"][0]["seconds"]}


def sample_images(n: int) -> Row:
    """Returns the seconds of `sample` and the bytes of its n images of CIFAR-10's shape, by a network that is next to none."""
    import numpy as np

    with TemporaryDirectory() as folder:
        for split in ("train", "test"):
            images = np.random.default_rng(0).integers(0, 256, (128, 32, 32, 3)).astype(np.uint8)
            np.savez(Path(folder) / f"{split}.npz", image=images)
        data = f"--config.data={{'name': 'npz', 'data_dir': '{folder}', 'levels': 256}}"
        net = "--config.net={'name': 'MLP', 'width': 8, 'depth': 1}"
        run = (DIGITS, f"--workdir={folder}/run", *BRIEF, data, net, "--config.evaluate.features=pixels")
        train(*run)
        seconds = command("sample", *run, f"--config.sample.n={n}")
        (arrays,) = (Path(folder) / "run" / "samples").glob("ddim*.npz")
        return {"seconds": seconds, "images": arrays.stat().st_size}


def measure_features(n: int) -> Row:
    """Returns the seconds of FID, its n -> infinity, KID, Inception score, precision and recall of n features of noise.

    They have the width and the logits of Inception, and are in a file as those of images; `features` are its bytes.
    """
    import numpy as np

    from experiments.evaluation.features import FeatureSpace
    from experiments.evaluation.measures import measure
    from experiments.evaluation.reference import Reference
    from experiments.evaluation.statistics import FEW, Protocol, statistics
    from experiments.runtime.lazy_arrays import FunctionArray

    rng, std = np.random.default_rng(0), np.geomspace(1, 1e-2, FEATURES, dtype=np.float32)
    noise = lambda n: FunctionArray((n, FEATURES), lambda i: rng.standard_normal((len(i), FEATURES), np.float32) * std)
    space = FeatureSpace(np.asarray, "noise", "noise", "", logits=lambda features: features[:, :1008])
    with TemporaryDirectory() as folder:
        real, features = (space.embed_all([noise(k)], Path(folder)) for k in (FEW, n))
        reference = Reference(space, statistics(real, Protocol("noise", "", (), 256, "", "test")), 3, Path(folder))
        began = time.perf_counter()
        values = measure(reference, features, (), 256)
        return {"seconds": time.perf_counter() - began, "features": n * FEATURES * 4, **values}


def take_steps(side: int) -> Row:
    """Returns seconds of compiling and of a step, in training and in sampling, of a DDPM of width 32 on 8 images."""
    from benchmarks.common.ours import ours
    from benchmarks.common.turns import turns
    from configs.cifar10 import ddpm_continuous_vp

    tree = ddpm_continuous_vp.get_config()
    tree.net.update({"width": 32, "multipliers": (1, 2, 2), "blocks": 1, "attention": ()})
    tree.train.batch = 8
    contenders, parameters = ours(tree, (side, side, 3))
    first = {}
    for name, (queue, wait) in contenders.items():
        began = time.perf_counter()
        queue()
        wait()
        first[f"{name}_first"] = time.perf_counter() - began
    return {"parameters": parameters, **first, **turns(contenders, 3, 3)}


def compile_grid(n: int) -> Row:
    """Returns the seconds of compiling a sampler of n steps, and of drawing 64 digits by it."""
    import jax
    import numpy as np

    from configs.digits import vp
    from experiments.build.build import build
    from experiments.build.sampler import sample_sampler
    from experiments.config.schema import Config
    from experiments.sampling.draw import drawing

    tree = vp.get_config().to_dict()
    tree["samplers"] = {"ddim": {"step": "ddim", "grid": "uniform_grid", "n": n}}
    tree["sample"]["sampler"] = "ddim"
    experiment = build(Config.model_validate(tree), (8, 8, 1))
    params = experiment.model.init(jax.random.key(0), np.zeros((8, 8, 1), np.float32))
    sampler, began = sample_sampler(experiment), time.perf_counter()
    samples = drawing(sampler)(params, sampler.rows(0, 64), n)
    return {"compiling": time.perf_counter() - began - samples.seconds, "drawing": samples.seconds}


def compare_arms(arms: int, seeds: int) -> Row:
    """Returns the seconds of `compare` on the moons, the programs that it compiled, and their seconds.

    The arms differ by beta_max; seeds are trained at once.
    """
    import jax

    compiling: list[float] = []
    listen = lambda event, seconds, **_: compiling.append(seconds) if event.endswith("backend_compile_duration") else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    with TemporaryDirectory() as folder:
        config = Path(folder) / "arms.py"
        config.write_text(ARMS.format(arms={f"beta_{i}": {"sde": {"beta_max": 20.0 + i}} for i in range(arms)}))
        few = (FOUR_STEPS, "--config.sample.sampler=ddim", "--config.train.steps=200", "--config.evaluate.n=1000", *ALONE)
        several = (f"--config.train.seeds={tuple(range(seeds))}", f"--config.train.seeds_at_once={seeds}")
        run = (f"--config={config}", f"--workdir={folder}/run", *few, *(several if seeds > 1 else ()))
        return {"seconds": command("compare", *run), "programs": len(compiling), "compiling": sum(compiling)}


ARMS = """
from configs.toy2d import moons

def get_config():
    config = moons.get_config()
    config.arms = {arms}
    return config
"""


class Table(NamedTuple):
    """A table with a row for each of the `arguments` of `measure`; its `columns` are each a text of a row."""

    measure: Callable[..., Row]
    arguments: Sequence[Row]
    columns: dict[str, Callable[[Row], str]]


def number(key: str, per: float = 1) -> Callable[[Row], str]:
    """Returns the column of a key in units of `per`, to three digits."""
    return lambda row: f"{row[key] / per:{',.0f' if row[key] >= 1000 * per else '.3g'}}"


def count(key: str) -> Callable[[Row], str]:
    """Returns the column of a key that is a whole number."""
    return lambda row: f"{row[key]:,}"


IMAGES = [{"n": n} for n in (1_000, 4_000, 16_000, 50_000, 100_000)]
SECONDS, PEAK = {"seconds": number("seconds")}, {"peak, MiB": number("peak", MIB)}
PROGRAMS = {"programs": count("programs"), "seconds of compiling": number("compiling")}
TABLES = {
    "evaluate": Table(
        evaluate_images, IMAGES, {"images": count("n"), **SECONDS, "seconds of drawing": number("drawing"), **PEAK}
    ),
    "sample": Table(sample_images, IMAGES, {"images": count("n"), **SECONDS, "file, MiB": number("images", MIB), **PEAK}),
    "fid": Table(measure_features, IMAGES, {"features": count("n"), **SECONDS, "file, MiB": number("features", MIB), **PEAK}),
    "size": Table(
        take_steps,
        [{"side": side} for side in (8, 16, 32, 64)],
        {
            "side": count("side"),
            "first training step, s": number("training_first"),
            "training step, ms": number("training", 1e-3),
            "first sampling step, s": number("sampling_first"),
            "sampling step, ms": number("sampling", 1e-3),
            **PEAK,
        },
    ),
    "grid": Table(
        compile_grid,
        [{"n": n} for n in (1, 10, 100, 1_000)],
        {
            "steps": count("n"),
            "compiling, s": number("compiling"),
            "64 digits, s": number("drawing"),
            "a step of them, ms": lambda row: f"{1e3 * row['drawing'] / row['n']:.3g}",
            **PEAK,
        },
    ),
    "arms": Table(
        compare_arms, [{"arms": k, "seeds": 1} for k in (1, 2, 4, 8)], {"arms": count("arms"), **SECONDS, **PROGRAMS, **PEAK}
    ),
    "seeds": Table(
        compare_arms, [{"arms": 1, "seeds": k} for k in (1, 2, 4, 8)], {"seeds": count("seeds"), **SECONDS, **PROGRAMS, **PEAK}
    ),
    "processes": Table(
        train_together,
        [{"n": n, "shard": shard} for shard in (False, True) for n in (1, 2, 4, 8)],
        {
            "processes": count("n"),
            "in shares": lambda row: "yes" if row["shard"] else "no",
            "a step, ms": number("seconds", 1e-3),
            "gradient, MB": number("gradient", MB),
            "sent by each, MB": number("sent", MB),
            "on paper, MB": lambda row: f"{sent(row['gradient'], row['n'], row['shard']) / MB:.3g}",
        },
    ),
}


def text_of(table: Table, rows: Sequence[Row]) -> str:
    """Returns the rows as a table of Markdown."""
    return markdown([*table.columns], ([cell(row) for cell in table.columns.values()] for row in rows)) + "\n"


def main() -> None:
    """Measures the tables, prints them, and writes growth.json and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of growth.json")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=[*TABLES])
    parser.add_argument("--most", type=int, default=10**9, help="leave out rows of more than so many")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a page whose marked parts are replaced")
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    file = words.out / "growth.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in words.only:
        table, rows = TABLES[name], []
        results[name] = {"machine": circumstances(), "rows": rows}
        for arguments in table.arguments:
            if max(arguments.values()) <= words.most:
                rows.append(arguments | apart(table.measure, *arguments.values()))
                file.write_text(json.dumps(results, indent=1))
                print(name, {heading: cell(rows[-1]) for heading, cell in table.columns.items()}, flush=True)
        print(text := text_of(table, rows), flush=True)
        if words.write:
            write_part(words.write, f"benchmarks.growth --only {name}", text)


if __name__ == "__main__":
    make_fast()
    main()
