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
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers import UNet2DModel
from torch import nn

from benchmarks.torch_unet import UNet
from benchmarks.turns import Contender, turns
from configs import base
from experiments import parallel
from experiments.build import build
from experiments.environment import make_fast
from experiments.schema import Config
from experiments.state import init_state
from experiments.update import make_optimizer, make_step

Step = Callable[[], Any]


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
    """UNet2DModel with two blocks a resolution, of DDPM's kind or by `block` of another, with attention at these heights."""
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
    """DDPM's U-Net with two blocks a resolution."""
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
    """NCSN++ with two blocks a resolution and attention at 16 pixels, in the form of google/ncsnpp-*."""
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


def ours(case: Case, calls: int = 1) -> tuple[Step, Step, int]:
    """A call of `calls` training steps, a step of sampling, and the number of parameters."""
    tree = base.get_config()
    tree.net, tree.train.batch, tree.train.steps, tree.train.steps_per_call = case.net, case.batch, 10**6, calls
    tree.sample.sampler, tree.samplers = "ddim", {"ddim": {"step": {"name": "ddim"}, "grid": {"name": "uniform_grid"}, "n": 10}}
    experiment = build(Config.model_validate(tree.to_dict()), case.shape)
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, jax.random.key(0))
    params = state.params
    advance = parallel.pmapped(make_step(experiment, optimizer, jax.random.key(1)))
    levels = np.random.default_rng(0).integers(0, 256, (calls, case.batch, *case.shape)).astype(np.uint8)
    batches = parallel.split(levels, axis=1)
    held = [jax.tree.map(jnp.copy, state)]

    def train() -> None:
        held[0] = advance(held[0], batches)
        jax.block_until_ready(held[0].step)

    sampler = experiment.config.samplers["ddim"]
    t, s = 0.5, 0.45
    keys = jax.random.split(jax.random.key(2), case.batch)

    @jax.jit
    def update(params: Any, x: jax.Array) -> jax.Array:
        step = experiment.step(sampler, params)
        one = lambda key, x: step.update(key, x, step.init(x), t, s)[0]
        return jax.vmap(one)(keys, x)

    x = [jax.random.normal(jax.random.key(3), (case.batch, *case.shape))]

    def draw() -> None:
        x[0] = jax.block_until_ready(update(params, x[0]))

    return train, draw, sum(leaf.size for leaf in jax.tree.leaves(params))


def theirs(case: Case, make: Callable[[], nn.Module], layout: torch.memory_format) -> tuple[Step, Step, int]:
    """The same of a peer."""
    torch.manual_seed(0)
    net = make().to(memory_format=layout)
    parameters = list(net.parameters())
    ema = [p.detach().clone() for p in parameters]
    adam = torch.optim.Adam(parameters, 2e-4, fused=True)
    images = torch.rand(case.batch, case.shape[2], *case.shape[:2]).to(memory_format=layout)

    def predicted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        y = net(x, t)
        return y if isinstance(y, torch.Tensor) else y.sample

    def train() -> None:
        net.train()
        t = torch.rand(case.batch) * 0.9 + 0.05
        alpha, z = (1 - t).sqrt()[:, None, None, None], torch.randn_like(images)
        loss = ((predicted(alpha * (2 * images - 1) + (1 - alpha**2).sqrt() * z, 999 * t) - z) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        torch._foreach_lerp_(ema, [p.detach() for p in parameters], 1e-4)

    x = [torch.randn_like(images)]

    @torch.inference_mode()
    def draw() -> None:
        net.eval()
        x[0] = 0.99 * x[0] + 0.01 * predicted(x[0], torch.full((case.batch,), 500.0))

    return train, draw, sum(p.numel() for p in parameters)


def in_turns(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """The median seconds of each, which ends before it returns."""
    return turns({name: Contender(step, lambda: None) for name, step in steps.items()}, 1, rounds)


def measured(case: Case, rounds: int, several: int) -> dict[str, Any]:
    """Seconds a step of each contender, and the ratios to the best peer."""
    once, often = ours(case), ours(case, several)
    found = {"ours": once} | {
        f"{name}, {layout}": theirs(case, make, getattr(torch, layout))
        for name, make in case.peers.items()
        for layout in ("contiguous_format", "channels_last")
    }
    training = in_turns({name: each[0] for name, each in found.items()} | {f"ours, {several} a call": often[0]}, rounds)
    training[f"ours, {several} a call"] /= several
    sampling = in_turns({name: each[1] for name, each in found.items()}, 2 * rounds)
    best = lambda seconds: min(value for name, value in seconds.items() if not name.startswith("ours"))
    return {
        "parameters": {name: each[2] for name, each in found.items()},
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
    parser.add_argument("--case", action="append", choices=CASES, help="may be given several times; all without")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--several", type=int, default=4, help="training steps a call, beside one")
    arguments = parser.parse_args(argv)
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    results: dict[str, Any] = {
        "protocol": {
            "threads": threads,
            "rounds": arguments.rounds,
            "versions": {name: version(name) for name in ("jax", "jaxlib", "flax", "torch", "diffusers")},
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "glibc_tunables": os.environ.get("GLIBC_TUNABLES", ""),
        }
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.case or CASES:
        results[name] = found = measured(CASES[name], arguments.rounds, arguments.several)
        ratios = ", ".join(f"{key} {value:.2f}" for key, value in found.items() if "ratio" in key)
        seconds = "; ".join(f"{key} {1e3 * value:.4g} ms" for key, value in found["training seconds"].items())
        print(f"{name}: {ratios}\n  training: {seconds}", flush=True)
        (arguments.out / "steps.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    make_fast()
    main()
