"""Bytes of a training step with remat and with its batch in parts, and of NCSN++ at 256 x 256.

python -m benchmarks.memory --out DIR [--only kept steps compiled]

All tables have the same columns; each fills those that it measured. `state` is parameters, their average and Adam's moments.
`kept` is what the forward pass hands to the backward pass beside the parameters (jax.vjp's residuals), by the shapes of the
traced program, before any compiler. Nothing is run for it, so that published networks can be measured, NCSN++ at 256 x 256
(score_sde's ve/celebahq_256_ncsnpp_continuous) among them. `temporary` is what the compiler lays out for a step beside its
arguments (the state and the batch), `peak` the most that its process took, the libraries' own 0.4 GB or so included. XLA:CPU
orders a program for concurrency by default, which keeps what remat would have freed; `memory` is with
--xla_cpu_enable_concurrency_optimized_scheduler=false. With --only compiled NCSN++ is compiled too, and not run, for its
`temporary`: that takes many minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.apart import apart
from experiments.runtime.startup import make_fast

SCHEDULERS = {"concurrency": "", "memory": "--xla_cpu_enable_concurrency_optimized_scheduler=false"}
OPTIONS = {"neither": (False, 1), "remat": (True, 1), "accumulate=4": (False, 4), "both": (True, 4)}
NETS = {"DDPM, width 32": (32, 8), "DDPM++": (32, 128), "NCSN++, 256 px": (256, 4)}
"""Each with its side and batch."""
MIB = 2**20
COLUMNS = ("parameters", "state", "kept", "temporary", "peak", "seconds", "compile_seconds")


def show(name: str, row: dict[str, Any]) -> None:
    """Prints a line of any table: MiB, millions of parameters, seconds; a dash if not measured."""
    of = {"parameters": 1e6, "seconds": 1.0, "compile_seconds": 1.0}
    cells = (f"{row[key] / of.get(key, MIB):15,.1f}" if key in row else f"{'-':>15}" for key in COLUMNS)
    print(f"{name:40}", *cells, sep="", flush=True)


def config_of(net: str, remat: bool, accumulate: int) -> Any:
    """Returns one of `NETS`, with its batch: the first two at CIFAR-10 shape."""
    from configs.cifar10 import ddpm_continuous_vp, ddpmpp_continuous_vp, ncsnpp_continuous_ve
    from experiments.config.schema import Config

    at_256 = {"width": 128, "multipliers": (1, 1, 2, 2, 2, 2, 2), "attention": (16,), "blocks": 2}
    base, options = {
        "DDPM, width 32": (ddpm_continuous_vp, {"width": 32}),
        "DDPM++": (ddpmpp_continuous_vp, {}),
        "NCSN++, 256 px": (ncsnpp_continuous_ve, at_256 | {"progressive": "output_skip", "progressive_input": "input_skip"}),
    }[net]
    config = base.get_config()
    config.net.update(options)
    config.remat = remat
    config.train.update({"batch": NETS[net][1], "accumulate": accumulate})
    return Config.model_validate(json.loads(config.to_json()), strict=False)


def kept_bytes(net: str, remat: bool, accumulate: int) -> dict[str, Any]:
    """Returns the bytes of the state, and of what the forward pass of one part of the batch keeps, by the shapes alone."""
    import jax
    import jax.numpy as jnp

    from experiments.build.build import build
    from experiments.data.dataset import Batch
    from experiments.runs.resume import state_shapes
    from experiments.training.step import example_loss

    side, batch = NETS[net]
    shape, n = (side, side, 3), batch // accumulate
    experiment = build(config_of(net, remat, accumulate), shape)
    loss, state = example_loss(experiment), state_shapes(experiment)

    loss_of = jax.vmap(loss, (None, 0, 0, 0))

    def residuals(params: Any, keys: jax.Array, levels: jax.Array, t: jax.Array) -> list[jax.Array]:
        _, backward = jax.vjp(lambda params: jnp.mean(loss_of(params, keys, Batch(levels), t).score), params)
        parameters = {id(leaf) for leaf in jax.tree.leaves(params)}
        arrays = [leaf for leaf in jax.tree.leaves(backward) if id(leaf) not in parameters]
        return [a for a in arrays if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key)]

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), n))
    batch_of = lambda shape, dtype: jax.ShapeDtypeStruct((n, *shape), dtype)
    arrays = jax.eval_shape(residuals, state.params, keys, batch_of(shape, jnp.uint8), batch_of((), jnp.float32))
    return sizes(state) | {"kept": sum(leaf.size * leaf.dtype.itemsize for leaf in arrays)}


def sizes(state: Any) -> dict[str, int]:
    """Returns the number of parameters and the bytes of a state, from its shapes."""
    import jax

    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return {"parameters": parameters, "state": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))}


def step_bytes(net: str, remat: bool, accumulate: int, running: bool) -> dict[str, Any]:
    """Returns the bytes of one compiled training step and, if `running`, what three steps take."""
    import jax
    import jax.numpy as jnp

    from experiments.build.build import build
    from experiments.build.optimizer import make_optimizer
    from experiments.build.state import init_state
    from experiments.data.dataset import Batch
    from experiments.randomness import Purpose, stream
    from experiments.runs.resume import state_shapes
    from experiments.runtime import devices
    from experiments.training.step import make_step

    side, batch = NETS[net]
    experiment = build(config_of(net, remat, accumulate), (side, side, 3))
    optimizer = make_optimizer(experiment.config.train)
    step = devices.pmapped(make_step(experiment, optimizer, stream(0, Purpose.STEP)))
    shapes = state_shapes(experiment)
    began = time.perf_counter()
    compiled = step.lower(shapes, jax.ShapeDtypeStruct((1, batch, side, side, 3), jnp.uint8)).compile()
    compile_seconds = time.perf_counter() - began
    plan: Any = compiled.memory_analysis()
    results = sizes(shapes) | {"temporary": plan.temp_size_in_bytes, "compile_seconds": compile_seconds}
    if not running:
        return results
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    batches = devices.split(Batch(jnp.zeros((1, batch, side, side, 3), jnp.uint8)), axis=1)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        state = jax.block_until_ready(compiled(state, batches))
        seconds.append(time.perf_counter() - began)
    return results | {"seconds": median(seconds[1:])}


def scheduled(scheduler: str) -> dict[str, str]:
    """Returns the environment of a process with that scheduler."""
    return {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {SCHEDULERS[scheduler]}"}


def residuals() -> list[dict[str, Any]]:
    """Measures every network, by option."""
    results = []
    for net in NETS:
        for option in ("neither", "remat", "both"):
            results.append({"net": net, "option": option} | apart(kept_bytes, net, *OPTIONS[option]))
            show(f"{net}, batch {NETS[net][1]}: {option}", results[-1])
    return results


def steps() -> list[dict[str, Any]]:
    """Measures the narrow network, by scheduler and option."""
    results = []
    for scheduler in SCHEDULERS:
        for option, words in OPTIONS.items():
            measured = apart(step_bytes, "DDPM, width 32", *words, True, env=scheduled(scheduler))
            results.append(row := {"scheduler": scheduler, "option": option} | measured)
            show(f"DDPM, width 32, {scheduler}: {option}", row)
    return results


def compiled() -> list[dict[str, Any]]:
    """Compiles NCSN++ at 256 x 256, and compares it with this machine's memory."""
    from experiments.runtime.limits import available

    results = []
    for option in ("neither", "remat", "both"):
        measured = apart(step_bytes, "NCSN++, 256 px", *OPTIONS[option], False, env=scheduled("memory"))
        row: dict[str, Any] = {"option": option} | measured
        row["fits"] = row["state"] + row["temporary"] <= available()
        results.append(row)
        show(f"NCSN++, 256 px, batch 4: {option}{'' if row['fits'] else ', too large here'}", row)
    return results


def main() -> None:
    """Measures the tables, prints them and writes memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that memory.json is written to")
    tables = {"kept": residuals, "steps": steps, "compiled": compiled}
    parser.add_argument("--only", nargs="+", choices=tables, default=["kept", "steps"])
    words = parser.parse_args()
    print(f"{'':40}", *(f"{name.removesuffix('_seconds'):>15}" for name in COLUMNS), sep="", flush=True)
    results = {"versions": {name: version(name) for name in ("jax", "jaxlib", "flax")}, "cores": len(os.sched_getaffinity(0))}
    results |= {name: tables[name]() for name in words.only}
    words.out.mkdir(parents=True, exist_ok=True)
    (words.out / "memory.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
