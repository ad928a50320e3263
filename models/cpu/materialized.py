"""What XLA is to compute once and keep, where it would compute it again for each that asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxlib.mlir import ir
from jaxtyping import Array, Float


def materialized(x: Float[Array, "*shape"], forward: bool = True, backward: bool = True) -> Float[Array, "*shape"]:
    """x; on a CPU nothing is fused across it, of x (`forward`) and of its cotangent (`backward`).

    XLA:CPU fuses a chain of sums into each of its consumers, those that add up all pixels on one core included, and drops
    `optimization_barrier` before it does. What it does not inline is a function, here the identity, which costs nothing.
    """
    return materialized_p.bind(x, forward=forward, backward=backward)


def called(ctx: mlir.LoweringRuleContext, *args: ir.Value, function: Any, **params: Any) -> Sequence[ir.Value]:
    """The lowering of a jitted function of one result as one that XLA does not inline."""
    (y,) = mlir.lower_fun(function, multiple_results=False)(ctx, *args, **params)
    y.owner.attributes["mhlo.frontend_attributes"] = ir.DictAttr.get({"inlineable": ir.StringAttr.get("false")})
    return [y]


def _on_cpu(ctx: mlir.LoweringRuleContext, x: ir.Value, *, forward: bool, backward: bool) -> Sequence[ir.Value]:
    return called(ctx, x, function=jax.jit(jax.lax.optimization_barrier)) if forward else [x]


materialized_p = Primitive("materialized")
materialized_p.def_abstract_eval(lambda x, **_: x)
materialized_p.def_impl(lambda x, **_: x)
ad.deflinear2(materialized_p, lambda ct, _, forward, backward: [materialized(ct, forward=backward, backward=forward)])
batching.defvectorized(materialized_p)
mlir.register_lowering(materialized_p, lambda ctx, x, **_: [x])
mlir.register_lowering(materialized_p, _on_cpu, platform="cpu")
