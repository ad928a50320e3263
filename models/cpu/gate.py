"""The one gate to what is written for XLA:CPU, and the one switch that shuts it.

A primitive has two lowerings, plain JAX and one for a CPU. The platform that a program is lowered for chooses: an accelerator
gets plain JAX, and so does a CPU if ONESDE_PLAIN=1 is in the environment. The switch is read as a program is built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxlib.mlir import ir


def is_plain() -> bool:
    """Returns whether the environment asks for plain JAX on a CPU too."""
    return os.environ.get("ONESDE_PLAIN") == "1"


def gate(primitive: Primitive, plain: Any, on_cpu: Any) -> None:
    """Lowers the primitive by the rule `plain`, and for a CPU by `on_cpu` unless the switch is on."""

    def chosen(ctx: mlir.LoweringRuleContext, *args: ir.Value, **params: Any) -> Sequence[ir.Value]:
        return (plain if is_plain() else on_cpu)(ctx, *args, **params)

    mlir.register_lowering(primitive, plain)
    mlir.register_lowering(primitive, chosen, platform="cpu")


def lowered(function: Any) -> Any:
    """The lowering of a function of one result as the operations that it is made of."""
    return mlir.lower_fun(function, multiple_results=False)


def called(jitted: Any) -> Any:
    """The lowering of a jitted function of one result as a call that XLA does not inline."""

    def rule(ctx: mlir.LoweringRuleContext, *args: ir.Value, **params: Any) -> Sequence[ir.Value]:
        (y,) = lowered(jitted)(ctx, *args, **params)
        y.owner.attributes["mhlo.frontend_attributes"] = ir.DictAttr.get({"inlineable": ir.StringAttr.get("false")})
        return [y]

    return rule
