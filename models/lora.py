"""LoRA: each kernel W of a trained network stays as it is, and a low-rank change of it learns. Hu et al. (2021), sec. 4.1.

    W' = W + scale alpha/rank A B,        A [fan_in, r],  B [r, C]

of a product W [fan_in, C], or of a convolution W [k, k, C_in, C] as the matrix of fan_in = k k C_in rows that it is to a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.score_network import ScoreModel
from sde_lib.base import Event, Scalar

On = Literal["attention", "convolution", "all"]


def lora(model: ScoreModel, base: Any, rank: int = 4, alpha: float = 4.0, on: On = "all", scale: Scalar = 1.0) -> ScoreModel:
    """The model with adapters as its only parameters, on the parameters `base`, which no gradient reaches.

    `init` returns `adapters`, at which the score is the base's, and reads only the shapes of `base`; `apply` and
    `with_variance` are the model's at `merged`. Under jit pass `base` as an argument: a closure writes it into the program.
    """

    def init(key: Key[Array, ""], x: Event) -> Any:
        return adapters(key, base, rank, on)

    def at(params: Any) -> Any:
        return merged(jax.lax.stop_gradient(base), params, scale * alpha / rank)

    def apply(params: Any, *args: Any, **named: Any) -> Event:
        return model.apply(at(params), *args, **named)

    def with_variance(params: Any, *args: Any, **named: Any) -> tuple[Event, Event]:
        return model.with_variance(at(params), *args, **named)

    return ScoreModel(init, apply, with_variance)


def adapters(key: Key[Array, ""], params: Any, rank: int, on: On = "all") -> dict[Any, Any]:
    """{"A": A, "B": B} in the place of each chosen kernel of a tree of parameters (or of their shapes), and nothing else.

    A ~ N(0, 1/fan_in) and B = 0, so that W' = W at first. A kernel is a leaf of that name, of two axes or more, its outputs
    last, as flax's are; r is `rank`, or the kernel's own largest if that is less. `on`: "attention", the kernels below a module
    with that in its name; "convolution", those of three axes or more among the others; or "all".
    Raises ValueError if none is chosen, or if `rank` is more than any of them can have.
    """
    kernels = {path: leaf.shape for path, leaf in _leaves(params) if path[-1] == "kernel" and len(leaf.shape) > 1}
    chosen = {path: shape for path, shape in kernels.items() if on in ("all", _kind(path, shape))}
    if not chosen:
        kinds = [_kind(path, shape) for path, shape in kernels.items()]
        there = " and ".join(f"{kinds.count(kind)} of kind {kind}" for kind in sorted(set(kinds))) or "none at all"
        raise ValueError(f"on = {on!r} chooses none of the network's kernels, of which there are {there}; take on = 'all'")
    most = {path: min(prod(shape[:-1]), shape[-1]) for path, shape in chosen.items()}
    if not 1 <= rank <= max(most.values()):
        raise ValueError(f"rank = {rank}: the kernels that are chosen have ranks up to {max(most.values())}; take 1 to that")
    tree: dict[Any, Any] = {}
    for i, (path, shape) in enumerate(chosen.items()):
        fan_in, r, place = prod(shape[:-1]), min(rank, most[path]), tree
        for name in path:
            place = place.setdefault(name, {})
        place["A"] = jax.random.normal(jax.random.fold_in(key, i), (fan_in, r)) / fan_in**0.5
        place["B"] = jnp.zeros((r, shape[-1]))
    return tree


@jax.jit
def merged(params: Any, adapters: Any, scale: Scalar) -> Any:
    """The parameters with W + scale A B in the place of each kernel W that has adapters."""

    def at(here: Any, below: Any) -> Any:
        if isinstance(here, Mapping):
            return {name: at(each, below[name]) if name in below else each for name, each in here.items()}
        change = jnp.matmul(below["A"], below["B"], precision=jax.lax.Precision.HIGHEST)
        return here + scale * change.reshape(here.shape)

    return at(params, adapters)


def _leaves(params: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves of nested tables by the names on their paths."""
    return [(tuple(each.key for each in path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]


def _kind(path: tuple[Any, ...], shape: tuple[int, ...]) -> str:
    if any("attention" in str(name).lower() for name in path):
        return "attention"
    return "convolution" if len(shape) > 2 else "product"
