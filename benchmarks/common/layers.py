"""The layers of DDPM++ that move more than they compute, against the rate at which this device copies; and its products.

Part of `benchmarks.gpu`. A layer's bytes are those that it must move: its input and output, and for the gradient the output's
gradient and the input's, and the input again. A layer slower than a copy shows what fusion missed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.common.turns import Contender, turns
from models.layers.fir import downsample, upsample
from models.layers.norm import GroupNorm

FIR = (1.0, 3.0, 3.0, 1.0)


def calls(function: Callable[..., Any], *arguments: Any) -> Contender:
    """Returns the calls of a compiled function, on the same arguments."""
    compiled, last = jax.jit(function), [jax.block_until_ready(jax.jit(function)(*arguments))]

    def queue() -> None:
        last[0] = compiled(*arguments)

    return Contender(queue, lambda: jax.block_until_ready(last[0]))


def seconds(function: Callable[..., Any], *arguments: Any, rounds: int) -> float:
    """Returns the seconds of one of ten calls in a row."""
    return turns({"": calls(function, *arguments)}, 10, rounds)[""]


def product_rate(n: int, rounds: int) -> float:
    """Returns the FLOP/s of a chain of bfloat16 products of n x n, each the factor of the next."""
    links, (one, other) = 10, jax.random.normal(jax.random.key(0), (2, n, n))
    a, b = one.astype(jnp.bfloat16), (other * n**-0.5).astype(jnp.bfloat16)  # so that a product is as large as its factor
    chain = lambda a, b: jax.lax.fori_loop(0, links, lambda _, a: a @ b, a)
    return 2 * n**3 * links / seconds(chain, a, b, rounds=rounds)


def with_gradient(layer: Callable[..., jax.Array]) -> Callable[..., Any]:
    """Returns the gradients of a layer at its arguments, for a gradient dy of its output."""
    return lambda dy, *arguments: jax.vjp(layer, *arguments)[1](dy)


def measured(batch: int, width: int, rounds: int) -> dict[str, Any]:
    """Returns GB/s of a copy, of GroupNorm + SiLU and of resampling; milliseconds of attention by each implementation."""
    draw = lambda *shape: jax.random.normal(jax.random.key(1), shape).astype(jnp.bfloat16)
    x = draw(batch, 32, 32, 4 * width)
    rate = lambda moved, f, *arguments: moved / seconds(f, *arguments, rounds=rounds) / 1e9
    figures: dict[str, Any] = {"copy, GB/s": rate(2 * x.nbytes, lambda x: x + 1, x), "GB/s": {}, "attention, ms": {}}
    for side, channels in ((32, width), (32, 2 * width), (16, 2 * width), (8, 2 * width)):
        x, norm = draw(batch, side, side, channels), GroupNorm(channels)
        layer = lambda x, norm=norm: nnx.silu(norm(x))
        name = f"GroupNorm + SiLU, {side} x {side} x {channels}"
        figures["GB/s"][name] = rate(2 * x.nbytes, layer, x)
        figures["GB/s"][f"{name}, gradient"] = rate(5 * x.nbytes, with_gradient(layer), x, x)
    for kernel in (None, FIR):
        taps = "FIR of four taps" if kernel else "pixels repeated or averaged"
        x = draw(batch, 32, 32, 2 * width)
        for name, layer in (("half", lambda x, k=kernel: downsample(x, k)), ("twice", lambda x, k=kernel: upsample(x, k))):
            y = layer(x)
            figures["GB/s"][f"{taps}, {name} of 32 x 32 x {2 * width}"] = rate(x.nbytes + y.nbytes, layer, x)
            figures["GB/s"][f"{taps}, {name}, gradient"] = rate(x.nbytes + y.nbytes, with_gradient(layer), y, x)
    q = draw(batch, 256, 1, 2 * width)
    fused = lambda name: lambda q, k, v: jax.nn.dot_product_attention(q, k, v, implementation=name)
    for name, layer in {"xla": fused("xla"), "cudnn": fused("cudnn")}.items():
        try:
            forward = seconds(layer, q, q, q, rounds=rounds)
            figures["attention, ms"][name] = 1e3 * forward
            figures["attention, ms"][f"{name}, gradient"] = 1e3 * seconds(with_gradient(layer), q, q, q, q, rounds=rounds)
        except Exception as error:  # cuDNN says what it does not do in several ways
            figures["attention, ms"][name] = f"refused: {str(error).splitlines()[0][:160]}"
    return figures


def summary(figures: dict[str, Any]) -> str:
    """Returns a line for each layer."""
    copy = figures["copy, GB/s"]
    lines = [f"copy: {copy:.4g} GB/s"]
    lines += [f"{name}: {rate:.4g} GB/s, {rate / copy:.0%} of a copy's" for name, rate in figures["GB/s"].items()]
    for name, cost in figures["attention, ms"].items():
        lines.append(f"attention, {name}: {cost if isinstance(cost, str) else f'{cost:.3g} ms'}")
    return "\n".join(lines)
