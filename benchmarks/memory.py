"""Bytes: of a training step with remat and with its batch in parts, of NCSN++ at 256 x 256, and of drawing 50,000 images.

python -m benchmarks.memory --out DIR [--only steps large sampling]

Each row is a process of its own. `temporary` is what the compiler has laid out for a step beside its arguments (the state and
the batch), `peak` the most that was resident, with the libraries' own 0.4 GB or so. XLA:CPU orders a program for concurrency by
default, which keeps what remat would have freed; `memory` is with --xla_cpu_enable_concurrency_optimized_scheduler=false.
NCSN++ at 256 x 256 (score_sde's ve/celebahq_256_ncsnpp_continuous) is compiled and not run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import experiments.__main__  # noqa: F401  (the flags of XLA that every command runs with)

SCHEDULERS = {"concurrency": "", "memory": "--xla_cpu_enable_concurrency_optimized_scheduler=false"}
OPTIONS = {"neither": (False, 1), "remat": (True, 1), "accumulate=4": (False, 4), "both": (True, 4)}
IMAGES = 2_000, 10_000, 50_000
MIB = 2**20


def config_of(remat: bool, accumulate: int, large: bool, batch: int) -> Any:
    """A narrow DDPM at CIFAR-10 shape, or the published NCSN++ at 256 x 256."""
    from configs.cifar10 import ddpm_continuous_vp, ncsnpp_continuous_ve
    from experiments.schema import Config

    config = (ncsnpp_continuous_ve if large else ddpm_continuous_vp).get_config()
    small = {"width": 32}
    published = {"width": 128, "multipliers": (1, 1, 2, 2, 2, 2, 2), "attention": (16,), "blocks": 2}
    config.net.update((published | {"progressive": "output_skip", "progressive_input": "input_skip"}) if large else small)
    config.remat = remat
    config.train.update({"batch": batch, "accumulate": accumulate})
    return Config.model_validate(json.loads(config.to_json()), strict=False)


def step_bytes(remat: bool, accumulate: int, large: bool, batch: int) -> dict[str, Any]:
    """Of one compiled training step; of the small one also what three steps take."""
    import jax
    import jax.numpy as jnp

    from experiments import parallel
    from experiments.build import build
    from experiments.randomness import Purpose, stream
    from experiments.resume import state_shapes
    from experiments.state import init_state
    from experiments.update import make_optimizer, make_step

    side = 256 if large else 32
    experiment = build(config_of(remat, accumulate, large, batch), (side, side, 3))
    optimizer = make_optimizer(experiment.config.train)
    step = parallel.pmapped(make_step(experiment, optimizer, stream(0, Purpose.STEP)))
    shapes = state_shapes(experiment)
    began = time.perf_counter()
    compiled = step.lower(shapes, jax.ShapeDtypeStruct((1, batch, side, side, 3), jnp.uint8)).compile()
    compile_seconds = time.perf_counter() - began
    plan: Any = compiled.memory_analysis()
    found = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes.params)),
        "state": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)),
        "temporary": plan.temp_size_in_bytes,
        "compile_seconds": compile_seconds,
    }
    if large:
        return found
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    batches = parallel.split(jnp.zeros((1, batch, side, side, 3), jnp.uint8), axis=1)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        state = jax.block_until_ready(compiled(state, batches))
        seconds.append(time.perf_counter() - began)
    return found | {"seconds": median(seconds[1:]), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def sampling_bytes(n: int) -> dict[str, Any]:
    """Of drawing n images of CIFAR-10's shape by 4 steps of a network of one product, and of measuring them by their pixels."""
    import jax
    import numpy as np

    from configs.cifar10 import ddpm_continuous_vp
    from experiments.build import build
    from experiments.draw import drawing
    from experiments.schema import Config

    config = ddpm_continuous_vp.get_config()
    config.net = {"name": "MLP", "width": 8, "depth": 1}
    config.samplers.fast.n = 4
    config = Config.model_validate(json.loads(config.to_json()), strict=False)
    experiment = build(config, (32, 32, 3))
    params = experiment.model.init(jax.random.key(0), np.zeros((32, 32, 3), np.float32))
    drawn = drawing(experiment, config.samplers["fast"])(params, 0, n, 4)
    assert drawn.levels.dtype == np.uint8
    assert len(drawn.levels) == n
    return {"images": drawn.levels.nbytes, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def apart(function: str, scheduler: str, *arguments: Any) -> dict[str, Any]:
    """What a function of this file finds in a process of its own."""
    env = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {SCHEDULERS[scheduler]}"}
    code = f"import json; from benchmarks.memory import *; print(json.dumps({function}(*{arguments!r})))"
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    return json.loads(ended.stdout.splitlines()[-1])


def steps() -> list[dict[str, Any]]:
    """The narrow network, by scheduler and option."""
    found = []
    for scheduler in SCHEDULERS:
        for option, (remat, accumulate) in OPTIONS.items():
            row = {"scheduler": scheduler, "option": option} | apart("step_bytes", scheduler, remat, accumulate, False, 8)
            found.append(row)
            print(
                f"{scheduler:12}{option:14}{row['temporary'] / MIB:8.0f} MiB temporary {row['peak'] / MIB:8.0f} MiB peak "
                f"{row['seconds']:8.2f} s a step",
                flush=True,
            )
    return found


def large() -> list[dict[str, Any]]:
    """NCSN++ at 256 x 256, on this machine's memory."""
    from experiments.memory import available

    found = []
    for option, (remat, accumulate) in {"neither": (False, 1), "remat": (True, 1), "both": (True, 4)}.items():
        row = {"option": option, "batch": 4} | apart("step_bytes", "memory", remat, accumulate, True, 4)
        row["fits"] = row["state"] + row["temporary"] <= available()
        found.append(row)
        print(
            f"256 px, batch 4, {option:9}{row['parameters'] / 1e6:7.1f} M parameters {row['state'] / MIB:8.0f} MiB state "
            f"{row['temporary'] / MIB:9.0f} MiB temporary, fits here: {row['fits']}; {row['compile_seconds']:.0f} s to compile",
            flush=True,
        )
    return found


def sampling() -> list[dict[str, Any]]:
    """By the number of images."""
    found = []
    for n in IMAGES:
        row = {"n": n} | apart("sampling_bytes", "concurrency", n)
        found.append(row)
        print(f"{n:7,} images of {row['images'] / MIB:5.0f} MiB {row['peak'] / MIB:8.0f} MiB peak", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that memory.json is written to")
    tables = {"steps": steps, "large": large, "sampling": sampling}
    parser.add_argument("--only", nargs="+", choices=tables, default=list(tables))
    words = parser.parse_args()
    found = {"versions": {name: version(name) for name in ("jax", "jaxlib", "flax")}, "cores": len(os.sched_getaffinity(0))}
    found |= {name: tables[name]() for name in words.only}
    words.out.mkdir(parents=True, exist_ok=True)
    (words.out / "memory.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
