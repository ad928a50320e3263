"""DDPM++ at CIFAR-10 shape in bfloat16 on one accelerator: its steps beside PyTorch's, its layers, and where the time goes.

python -m benchmarks.gpu --out runs/gpu [--batches 128 512 1024 2048] [--profile] [--dry-run]     (torch by `pip install torch`)

A training step is the product's (`experiments.training.step.make_step`), a sampling step one evaluation and the update of
`ddim`. PyTorch's network has the same layers and as many parameters (`benchmarks.peers.torch_ddpmpp`), torch.compile,
channels_last, bfloat16 by autocast, fused Adam and averages by foreach; it has its images as floats, where ours reads levels
and flips them. Without torch ours is measured alone, and `--only` leaves the memory to one of them. Each turn is `QUEUED`
steps in a row and a wait for the last, so that the host runs ahead as it does in training; seconds are medians over turns, one
contender after another. A step that does not fit in memory is reported as such.

Utilisation = FLOP of an image x images/s / the rate of a chain of bfloat16 products of 8192 x 8192, measured in the same run;
FLOP of an image are counted by `benchmarks.scale` in the loss as lowered for a TPU: 60.9 GFLOP, where PyTorch's count is 65.2
with the taps that fall on padding.

`--profile` writes a trace to OUT/trace and prints the operations that take longest. `--dry-run` runs all of it small on any
backend (width 32, batch 8, two resolutions of one block; two minutes on one CPU core): its figures show only that it runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs memory too

import argparse
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from benchmarks.common import layers, trace
from benchmarks.common.machine import circumstances
from benchmarks.common.ours import ours
from benchmarks.common.turns import Contender, turns
from benchmarks.scale import recipe
from configs.cifar10 import ddpmpp_continuous_vp
from experiments.runtime.startup import make_fast

SHAPE = (32, 32, 3)
QUEUED = 10
SMALL = {"width": 32, "multipliers": (1, 2), "blocks": 1}


def tree_of(batch: int, dry: bool) -> ConfigDict:
    """Returns the recipe, or in a dry run a small one."""
    tree = ddpmpp_continuous_vp.get_config()
    tree.compute, tree.train.batch = "bfloat16", batch
    if dry:
        tree.net.update(SMALL)
    return tree


def torch_s(batch: int, dry: bool) -> tuple[dict[str, Contender], int]:
    """Returns PyTorch's steps; in a dry run torch.compile traces, and compiles nothing."""
    import torch

    from benchmarks.peers.theirs import theirs
    from benchmarks.peers.torch_ddpmpp import DDPMpp

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.cuda.empty_cache()  # frees that of a smaller batch
    torch.compiler.reset()
    net = DDPMpp(SHAPE, **(SMALL if dry else {})).to(device)
    compiled = lambda net: torch.compile(net, backend="eager" if dry else "inductor", dynamic=False)
    return theirs(net, SHAPE, batch, torch.channels_last, compiled, torch.autocast(device.type, torch.bfloat16))


MAKERS = {"ours": lambda batch, dry: ours(tree_of(batch, dry), SHAPE), "torch": torch_s}


def started(make: Callable[..., Any], batch: int, dry: bool) -> tuple[dict[str, Contender], int] | None:
    """Returns make(batch, dry) after each of its steps has run once; None if memory ran out."""
    try:
        steps, parameters = make(batch, dry)
        for step in steps.values():
            step.queue()
            step.wait()
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error) or type(error).__name__ == "OutOfMemoryError":
            return None
        raise
    return steps, parameters


def measured(
    batch: int, makers: dict[str, Callable[..., Any]], flop: dict[str, float], peak: float, run: Any
) -> dict[str, Any]:
    """Returns seconds, images/s and utilisation of every contender whose steps fit, and the ratio to PyTorch's."""
    begun = {name: started(make, batch, run.dry_run) for name, make in makers.items()}
    figures: dict[str, Any] = {"batch": batch, "out of memory": [name for name, each in begun.items() if each is None]}
    fits = {name: each for name, each in begun.items() if each}
    figures["parameters"] = {name: parameters for name, (_, parameters) in fits.items()}
    if len(set(figures["parameters"].values())) > 1:
        raise AssertionError(f"the networks are not the same: {figures['parameters']}")
    for kind in flop:
        seconds = turns({name: steps[kind] for name, (steps, _) in fits.items()}, 2 if run.dry_run else QUEUED, run.rounds)
        rates = {name: batch / each for name, each in seconds.items()}
        figures[kind] = {
            name: {"seconds": seconds[name], "images/s": rate, "utilisation": rate * flop[kind] / peak}
            for name, rate in rates.items()
        }
        if len(rates) > 1:
            figures[f"{kind} ratio"] = rates["ours"] / rates["torch"]
    return figures


def summary(figures: dict[str, Any]) -> str:
    """Returns a line for each figure of a batch."""
    lines = [f"batch {figures['batch']}: {name} is out of memory" for name in figures["out of memory"]]
    for kind in ("training", "sampling"):
        for name, row in figures[kind].items():
            rate = f"{1e3 * row['seconds']:.4g} ms, {row['images/s']:,.0f} images/s, utilisation {row['utilisation']:.1%}"
            lines.append(f"batch {figures['batch']}, {kind}, {name}: {rate}")
        if f"{kind} ratio" in figures:
            lines.append(f"batch {figures['batch']}, {kind}: {figures[f'{kind} ratio']:.2f} times PyTorch's")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints a line of each figure and writes gpu.json after each batch."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("ours", "torch"))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    run = parser.parse_args(argv)
    if run.dry_run:
        run.batches, run.rounds = [8], 2
    makers = {name: make for name, make in MAKERS.items() if run.only in (None, name)}
    if not find_spec("torch"):
        print("torch is not installed: ours is measured alone")
        makers.pop("torch", None)
    results: dict[str, Any] = {"protocol": {"dry run": run.dry_run, "rounds": run.rounds, **circumstances("torch")}}
    peak = layers.product_rate(256 if run.dry_run else 8192, run.rounds)
    counted = recipe("DDPM++", tree_of(1, run.dry_run).to_dict(), SHAPE[0])
    flop = {"training": counted.training, "sampling": counted.forward}
    results |= {"peak, FLOP/s": peak, "FLOP of an image": flop, "batches": []}
    print(f"{results['protocol']['device']}: {peak / 1e12:.4g} TFLOP/s in bfloat16 products", flush=True)
    run.out.mkdir(parents=True, exist_ok=True)
    write = lambda: (run.out / "gpu.json").write_text(json.dumps(results, indent=1))
    for batch in run.batches:
        results["batches"].append(measured(batch, makers, flop, peak, run))
        print(summary(results["batches"][-1]), flush=True)
        write()
        if len(results["batches"][-1]["out of memory"]) == len(makers):
            break
    results["layers"] = layers.measured(run.batches[0], 32 if run.dry_run else 128, run.rounds)
    print(layers.summary(results["layers"]), flush=True)
    if run.profile:
        steps, _ = MAKERS["ours"](run.batches[0], run.dry_run)
        results["longest"] = trace.longest(steps["training"], run.out / "trace")
        print(trace.summary(results["longest"]))
    write()


if __name__ == "__main__":
    make_fast()
    main()
