"""A product y = x * W of images and a kernel as one primitive, whose two adjoints are the same primitive again.

Any such product is the derivative in y of a trilinear form T(x, W, y); dT/dx and dT/dW are the gradients of its input and
kernel. Derivatives of each of the three are the other two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array

from models.cpu.gate import gate, lowered

Role = Literal["x", "W", "y"]
ROLES: tuple[Role, Role, Role] = ("x", "W", "y")
FEW = 16
"""The most kernels of their own that are as many products; of more, JAX makes one in groups, for which XLA:CPU is slow."""
Product = Callable[[Array, Array, Any], Array]
"""(x, W, form) -> y, the form hashable and the batch the first axis of x and of y."""


def bilinear(name: str, plain: Product, on_cpu: Any) -> Product:
    """The product `plain`, with the lowering `on_cpu` for a CPU: see `models.cpu.gate`.

    `on_cpu` lowers a function of two of (x, W, y), in this order, to the third: `of` says which that is and `shape` its shape.
    """
    primitive = Primitive(name)

    def product(x: Array, W: Array, form: Any) -> Array:
        return primitive.bind(x, W, of="y", form=form, shape=jax.eval_shape(lambda x, W: plain(x, W, form), x, W).shape)

    def adjoint(position: int, ct: Array, a: Any, b: Any, *, of: Role, form: Any, shape: tuple[int, ...]) -> Array:
        """The adjoint in the operand at `position`: the cotangent takes the place of the result."""
        roles = [role for role in ROLES if role != of]
        values = {roles[1 - position]: (b, a)[position], of: ct}
        operands = [values[role] for role in ROLES if role in values]
        return primitive.bind(*operands, of=roles[position], form=form, shape=(a, b)[position].aval.shape)

    def batched(
        args: Sequence[Array], axes: Sequence[Any], *, of: Role, form: Any, shape: tuple[int, ...]
    ) -> tuple[Array, int]:
        """A batch of batches is a batch if the kernel is common to all; a few kernels are as many products."""
        if of == "W" or axes[0 if of == "x" else 1] is not None:
            n = next(a.shape[axis] for a, axis in zip(args, axes, strict=True) if axis is not None)
            if n > FEW:
                return jax.vmap(partial(derived, plain, of=of, form=form, shape=shape), axes)(*args), 0
            rows = ([a] * n if axis is None else jnp.moveaxis(a, axis, 0) for a, axis in zip(args, axes, strict=True))
            return jnp.stack([primitive.bind(*each, of=of, form=form, shape=shape) for each in zip(*rows, strict=True)]), 0
        image = 1 if of == "x" else 0
        images = jnp.moveaxis(args[image], axes[image], 0)
        folded = images.reshape(-1, *images.shape[2:])
        operands = (args[0], folded) if image else (folded, args[1])
        out = primitive.bind(*operands, of=of, form=form, shape=(len(folded), *shape[1:]))
        return out.reshape(*images.shape[:2], *out.shape[1:]), 0

    primitive.def_abstract_eval(lambda a, b, *, of, form, shape: ShapedArray(shape, a.dtype))
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("of", "form", "shape")))
    ad.defbilinear(primitive, partial(adjoint, 0), partial(adjoint, 1))
    batching.primitive_batchers[primitive] = batched
    gate(primitive, lowered(partial(derived, plain)), on_cpu)
    return product


def derived(product: Product, a: Array, b: Array, *, of: Role, form: Any, shape: tuple[int, ...]) -> Array:
    """The third of (x, W, y) from the other two, as JAX derives it of the product."""
    if of == "y":
        return product(a, b, form)
    at = (lambda x: product(x, a, form)) if of == "x" else (lambda W: product(a, W, form))
    return jax.linear_transpose(at, jax.ShapeDtypeStruct(shape, b.dtype))(b)[0]
