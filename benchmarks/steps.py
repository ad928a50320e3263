"""A training step and a sampling step of our networks beside those of diffusers and of plain PyTorch, interleaved in one run.

python -m benchmarks.steps --out runs/steps [--case NAME ...] [--rounds N]     (needs `pip install -e .[bench]`)

A training step is the forward and backward pass, clipping, Adam and the average of parameters; a sampling step one evaluation
of the network and one update of DDIM. Float32 on CPU; the same layers, batch and threads. Each figure is the median over rounds
of the seconds a step, and the ratio is to the best of the peers in either layout of memory.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DModel
from torch import nn

from benchmarks.common.machine import circumstances
from benchmarks.common.ours import ours
from benchmarks.common.turns import Contender, turns
from benchmarks.peers.theirs import theirs
from benchmarks.peers.torch_unet import UNet
from configs import base
from experiments.runtime.startup import make_fast


class Case(NamedTuple):
    """A network of ours at a shape and a batch, and its peers by name."""

    net: dict[str, Any]
    shape: tuple[int, int, int]
    batch: int
    peers: dict[str, Callable[[], nn.Module]]


def diffusers(
    shape: tuple[int, int, int],
    width: int,
    multipliers: tuple[int, ...],
    attention: tuple[int, ...],
    block: str = "",
    **options: Any,
) -> Callable[[], nn.Module]:
    """Returns UNet2DModel with two blocks a resolution, DDPM's or of another `block`, with attention at these heights."""
    kinds = ["Attn" * (shape[0] >> i in attention) + block for i in range(len(multipliers))]
    return partial(
        UNet2DModel,
        sample_size=shape[0],
        in_channels=shape[2],
        out_channels=shape[2],
        block_out_channels=tuple(width * m for m in multipliers),
        layers_per_block=2,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        attention_head_dim=None,
        norm_eps=1e-6,
        **options,
    )


def ddpm(shape: tuple[int, int, int], batch: int, width: int, multipliers: tuple[int, ...], attention: tuple[int, ...]) -> Case:
    """Returns DDPM's U-Net with two blocks a resolution."""
    options = {"width": width, "multipliers": multipliers, "blocks": 2, "attention": attention, "dropout": 0.1}
    theirs = diffusers(
        shape,
        width,
        multipliers,
        attention,
        norm_num_groups=min(32, width // 4),
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        dropout=0.1,
    )
    return Case({"name": "DDPM", **options}, shape, batch, {"diffusers": theirs, "plain": partial(UNet, shape, **options)})


def ncsnpp(shape: tuple[int, int, int], batch: int, width: int, multipliers: tuple[int, ...]) -> Case:
    """Returns NCSN++ with two blocks a resolution and attention at 16 pixels, as google/ncsnpp-* has it."""
    options = {"width": width, "multipliers": multipliers, "blocks": 2, "attention": (16,), "dropout": 0.0}
    skips = {"progressive": "output_skip", "progressive_input": "input_skip", "embedding": "fourier"}
    theirs = diffusers(
        shape,
        width,
        multipliers,
        (16,),
        "Skip",
        norm_num_groups=None,
        mid_block_scale_factor=2**0.5,
        time_embedding_type="fourier",
    )
    return Case({"name": "NCSNpp", **options, **skips}, shape, batch, {"diffusers": theirs})


CASES = {
    "digits, width 32": ddpm((8, 8, 1), 128, 32, (1, 2, 2), (4,)),
    "CIFAR-10, width 32": ddpm((32, 32, 3), 32, 32, (1, 2, 2, 2), (16,)),
    "CIFAR-10, width 128": ddpm((32, 32, 3), 16, 128, (1, 2, 2, 2), (16,)),
    "NCSN++, CIFAR-10, width 32": ncsnpp((32, 32, 3), 32, 32, (1, 2, 2, 2)),
}


def _ours(case: Case, calls: int) -> tuple[dict[str, Contender], int]:
    tree = base.get_config()
    tree.net, tree.train.batch, tree.train.steps = case.net, case.batch, 10**6
    return ours(tree, case.shape, calls)


def measured(case: Case, rounds: int, several: int) -> dict[str, Any]:
    """Returns seconds a step of each contender, and the ratios to the best peer."""
    once, often = (_ours(case, calls) for calls in (1, several))
    contenders = {"ours": once}
    for name, make in case.peers.items():
        for layout in ("contiguous_format", "channels_last"):
            torch.manual_seed(0)
            contenders[f"{name}, {layout}"] = theirs(make(), case.shape, case.batch, getattr(torch, layout))
    of = lambda kind: {name: steps[kind] for name, (steps, _) in contenders.items()}
    training = turns(of("training") | {f"ours, {several} a call": often[0]["training"]}, 1, rounds)
    training[f"ours, {several} a call"] /= several
    sampling = turns(of("sampling"), 1, 2 * rounds)
    best = lambda seconds: min(value for name, value in seconds.items() if not name.startswith("ours"))
    return {
        "parameters": {name: parameters for name, (_, parameters) in contenders.items()},
        "batch": case.batch,
        "training seconds": training,
        "sampling seconds": sampling,
        "training ratio": best(training) / training["ours"],
        "training ratio, several a call": best(training) / training[f"ours, {several} a call"],
        "sampling ratio": best(sampling) / sampling["ours"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every case, prints a line of each and writes steps.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--case", action="append", choices=CASES, help="repeatable; all by default")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--several", type=int, default=4, help="training steps a call, beside one")
    arguments = parser.parse_args(argv)
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    results: dict[str, Any] = {
        "protocol": {"threads": threads, "rounds": arguments.rounds, **circumstances("torch", "diffusers")}
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.case or CASES:
        results[name] = figures = measured(CASES[name], arguments.rounds, arguments.several)
        ratios = ", ".join(f"{key} {value:.2f}" for key, value in figures.items() if "ratio" in key)
        seconds = "; ".join(f"{key} {1e3 * value:.4g} ms" for key, value in figures["training seconds"].items())
        print(f"{name}: {ratios}\n  training: {seconds}", flush=True)
        (arguments.out / "steps.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
