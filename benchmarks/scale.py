"""Two recipes on 8, 64 and 512 accelerators, on paper: arithmetic, memory and links, with nothing measured.

python -m benchmarks.scale [--utilisation U] [--write docs/scale.md]

Parameters are counted in our networks by their shapes, FLOP by XLA in the lowered loss of one image. The formulae are the
functions below; what machines can do is published, but for what `docs/scale.md` calls an assumption.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.common.marked import write_part
from configs.cifar10 import ddpmpp_continuous_vp, ncsnpp_continuous_ve
from experiments.build.build import build
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.training.step import example_loss

NUMBER = 4  # bytes of a float32
DEVICES = (1, 8, 64, 512)
SAMPLES, EVALUATIONS = 50_000, 1000


class Machine(NamedTuple):
    """An accelerator: FLOP/s in bf16, bytes/s of its memory, and of its links in one direction where n work together."""

    name: str
    flops: float
    memory: float
    link: Callable[[int], float]


MACHINES = (
    # Within eight NVLink; beyond, each of a node's eight rings leaves it by a network card of its own.
    Machine("H100 SXM", 989e12, 3.35e12, lambda n: 450e9 if n <= 8 else min(450e9, 8 * 50e9)),
    # Three axes of 2 x 100 GB/s; a slice of 2 x 2 x 2 does not wrap around, and has half of them.
    Machine("TPU v5p", 459e12, 2.765e12, lambda n: 300e9 if n < 64 else 600e9),
)
LATENCY = 5e-6
"""Seconds from device to device, an assumption."""


class Recipe(NamedTuple):
    """P parameters; FLOP of an image's loss with its gradient, and of one evaluation; images in the published batch."""

    name: str
    parameters: int
    training: float
    forward: float
    batch: int


def celebahq_256() -> dict[str, Any]:
    """score_sde's ve/celebahq_256_ncsnpp_continuous, by its network and batch, as changes of CIFAR-10's recipe."""
    tree = ncsnpp_continuous_ve.get_config().to_dict()
    skips = {"progressive": "output_skip", "progressive_input": "input_skip"}
    net = tree["net"] | skips | {"multipliers": (1, 1, 2, 2, 2, 2, 2), "blocks": 2, "dropout": 0.0}
    return tree | {"net": net, "sde": tree["sde"] | {"sigma_max": 348.0}, "train": tree["train"] | {"batch": 64}}


def recipe(name: str, tree: dict[str, Any], side: int) -> Recipe:
    """Counted, for images of side x side in three colours."""
    config = Config.model_validate(tree)
    experiment = build(config, (side, side, 3))
    params = jax.eval_shape(lambda: experiment.model.init(jax.random.key(0), jnp.zeros(experiment.shape)))
    levels, x = (jax.ShapeDtypeStruct(experiment.shape, dtype) for dtype in (jnp.uint8, jnp.float32))
    loss = example_loss(experiment)
    # For a TPU, wherever this runs: on a CPU wide convolutions are of fewer products.
    lowered = lambda f, *inputs: jax.jit(f).trace(params, *inputs).lower(lowering_platforms=("tpu",))
    flop = lambda f, *inputs: float((lowered(f, *inputs).cost_analysis() or {})["flops"])
    training = flop(jax.value_and_grad(lambda *of: loss(*of).score), jax.random.key(0), Batch(levels), 0.5)
    forward = flop(lambda params, x: experiment.score(params)(x, 0.5), x)
    return Recipe(name, sum(a.size for a in jax.tree.leaves(params)), training, forward, config.train.batch)


def sent(size: float, n: int, shard: bool) -> float:
    """Bytes that each of n devices sends to sum gradients of `size` bytes by rings, and in shares to gather the parameters.

    2 (n-1)/n size for the sum, and (n-1)/n size for the gather.
    """
    return (3 if shard else 2) * (n - 1) / n * size


def links(size: float, n: int, link: float, shard: bool) -> float:
    """Seconds to send these bytes, and for the messages of trees: 2 log2(n) of the sum, log2(n) of the gather."""
    return sent(size, n, shard) / link + (3 if shard else 2) * math.log2(n) * LATENCY


class Step(NamedTuple):
    """Seconds of a training step; no part of it hides another."""

    arithmetic: float
    update: float
    links: float

    @property
    def total(self) -> float:
        return sum(self)


def step(recipe: Recipe, machine: Machine, n: int, batch: int, utilisation: float, shard: bool) -> Step:
    """F B / (n u peak); nine passes over the state, by Adam and the average; the gradient's sum, and in shares the gather.

    Read: parameter, gradient, two moments, average; written: all but the gradient.
    """
    size, link = recipe.parameters * NUMBER, machine.link(n)
    return Step(
        recipe.training * batch / (n * utilisation * machine.flops),
        9 * size / machine.memory / (n if shard else 1),
        links(size, n, link, shard),
    )


def rows(recipe: Recipe, machine: Machine, utilisation: float, grows: bool) -> list[str]:
    """A line of the table for each number of devices, with the published batch, or with that batch on each device."""
    alone, lines = step(recipe, machine, 1, recipe.batch, utilisation, shard=False).total, []
    for n in DEVICES:
        batch = recipe.batch * n if grows else recipe.batch
        if batch < n:
            lines.append(f"| {n} | {batch:,} | fewer images than devices |" + " |" * 8)
            continue
        whole, shares = (step(recipe, machine, n, batch, utilisation, shard) for shard in (False, True))
        ideal = alone * (1 if grows else 1 / n)
        cells = [f"{1e3 * part:.3g}" for part in (whole.arithmetic, whole.update, whole.links, whole.total)]
        cells += [f"{batch / whole.total:,.0f}", f"{ideal / whole.total:.0%}"]
        cells += [f"{1e3 * part:.3g}" for part in (shares.update, shares.links, shares.total)]
        lines.append(f"| {n} | {batch:,} | {' | '.join(cells)} |")
    return lines


def tables(recipes: list[Recipe], utilisation: float) -> str:
    """Everything as markdown."""
    lines = [f"Utilisation u = {utilisation:g} of the published bf16 peak; times in ms.\n"]
    lines += [
        "| recipe | P | training, GFLOP an image | evaluation, GFLOP | batch | gradient, MB | state, MB: whole, in 64 shares |"
    ]
    lines += ["|---" * 7 + "|"]
    for r in recipes:
        size = r.parameters * NUMBER / 1e6
        flop = f"{r.training / 1e9:.1f} | {r.forward / 1e9:.1f}"
        lines += [f"| {r.name} | {r.parameters:,} | {flop} | {r.batch} | {size:.0f} | {4 * size:.0f}, {4 * size / 64:.0f} |"]
    head = "| n | batch | arithmetic | update | links | step | images/s | efficiency "
    head += "| in shares: update | links | step |"
    for r in recipes:
        for machine in MACHINES:
            for grows in (False, True):
                batch = f"{r.batch} images on each device" if grows else f"the published batch of {r.batch}"
                lines += [f"\n**{r.name}, {machine.name}, {batch}**\n", head, "|---" * 11 + "|"]
                lines += rows(r, machine, utilisation, grows)
    lines += [f"\n**{SAMPLES:,} samples of {EVALUATIONS} evaluations, hours**\n"]
    lines += ["| recipe | accelerator | " + " | ".join(f"n = {n}" for n in DEVICES) + " |", "|---" * (2 + len(DEVICES)) + "|"]
    for r in recipes:
        for machine in MACHINES:
            alone = SAMPLES * EVALUATIONS * r.forward / (utilisation * machine.flops) / 3600
            lines += [f"| {r.name} | {machine.name} | " + " | ".join(f"{alone / n:.3g}" for n in DEVICES) + " |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Scaling on paper: prints its tables as markdown.")
    parser.add_argument("--utilisation", type=float, default=0.4, help="of the published peak, in arithmetic")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a file whose marked part is replaced")
    arguments = parser.parse_args()
    recipes = [
        recipe("DDPM++, CIFAR-10", ddpmpp_continuous_vp.get_config().to_dict(), 32),
        recipe("NCSN++, 256 px", celebahq_256(), 256),
    ]
    text = tables(recipes, arguments.utilisation)
    print(text)
    if arguments.write:
        write_part(arguments.write, "benchmarks.scale", text)


if __name__ == "__main__":
    main()
