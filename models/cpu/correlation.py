"""The convolution at stride 1 and its two adjoints, each in the form that the machine is fast at.

y = x * W is bilinear, so one trilinear form holds it and its derivatives:

    T(x, W, y) = sum_{b h w i o k l} y[b, h, w, o] x[b, h + k, w + l, i] W[k, l, i, o]

The convolution is dT/dy, the gradient of its input dT/dx and that of its kernel dT/dW; derivatives of each are the other two.
XLA:CPU has fast code for one form alone, NHWC with HWIO, stride 1 and undilated, and rewrites others to it only outside of
loops: a kernel's gradient as JAX derives it takes 26 times as long inside `lax.scan`. So on a CPU all three are in this form.
Elsewhere they are what JAX derives of `plain`. Where channels are many, `models.cpu.winograd` takes half the time again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from models.cpu import winograd
from models.cpu.materialized import called
from models.cpu.winograd import Padding

Role = Literal["x", "W", "y"]
ROLES: tuple[Role, Role, Role] = ("x", "W", "y")


def correlate(x: Float[Array, "B H W I"], W: Float[Array, "k l I O"], padding: Padding) -> Float[Array, "B h w O"]:
    """y = x * W at stride 1, with zeros before and after each side."""
    return derivative_p.bind(x, W, of="y", padding=padding)


def plain(x: Float[Array, "B H W I"], W: Float[Array, "k l I O"], padding: Padding) -> Float[Array, "B h w O"]:
    """`correlate` as XLA has it, with the derivatives of JAX: what the others are to equal."""
    return jax.lax.conv_general_dilated(x, W, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _shape(a: Any, b: Any, of: Role, padding: Padding) -> tuple[int, ...]:
    """That of dT/d`of`, from h = H + padding - k + 1."""
    pads = [before + after for before, after in padding]
    if of == "y":
        return a.shape[0], *(x + p - k + 1 for x, p, k in zip(a.shape[1:3], pads, b.shape, strict=False)), b.shape[3]
    if of == "x":
        return b.shape[0], *(y - p + k - 1 for y, p, k in zip(b.shape[1:3], pads, a.shape, strict=False)), a.shape[2]
    return *(x + p - y + 1 for x, p, y in zip(a.shape[1:3], pads, b.shape[1:3], strict=True)), a.shape[3], b.shape[3]


def _derived(a: Array, b: Array, *, of: Role, padding: Padding) -> Array:
    """dT/d`of` at the other two, in the order of `ROLES`, as JAX derives it of `plain`."""
    if of == "y":
        return plain(a, b, padding)
    of_x, of_W = (lambda x: plain(x, a, padding)), (lambda W: plain(a, W, padding))
    sought = jax.ShapeDtypeStruct(_shape(a, b, of, padding), b.dtype)
    return jax.linear_transpose(of_x if of == "x" else of_W, sought)(b)[0]


@partial(jax.jit, static_argnames=("of", "padding"))
def _canonical(a: Array, b: Array, *, of: Role, padding: Padding) -> Array:
    """The same in the one form: the adjoint in x is by the kernel turned around, that in W with batch and channels swapped.

    As a function that is called: inlined, the swaps would be fused with what made the operands, and that computed once more in
    the wrong order of memory (a quarter of a training step on 8x8).
    """
    if of == "x":
        (top, bottom), (left, right) = padding
        k, l = a.shape[0] - 1, a.shape[1] - 1
        turned = jax.lax.optimization_barrier(a[::-1, ::-1].swapaxes(2, 3))  # or it is folded into another form
        return _canonical(b, turned, of="y", padding=((k - top, k - bottom), (l - left, l - right)))
    sought = _shape(a, b, of, padding)
    if of == "y":
        return (winograd.correlate if winograd.pays(b.shape, sought, a.dtype) else plain)(a, b, padding)
    if winograd.pays(sought, b.shape, a.dtype):
        return winograd.kernel_adjoint(a, b, padding)
    return plain(a.transpose(3, 1, 2, 0), b.transpose(1, 2, 0, 3), padding).transpose(1, 2, 0, 3)


def _adjoint(position: int, ct: Array, a: Any, b: Any, *, of: Role, padding: Padding) -> Array:
    """In the operand at `position`: the cotangent takes the place of what was derived."""
    roles = [role for role in ROLES if role != of]
    known = {roles[1 - position]: (b, a)[position], of: ct}
    return derivative_p.bind(*(known[role] for role in ROLES if role in known), of=roles[position], padding=padding)


def _batched(args: Sequence[Array], axes: Sequence[Any], *, of: Role, padding: Padding) -> tuple[Array, int]:
    """A batch of batches is a batch, where the kernel is common to all; where each has its own, what JAX makes of it."""
    if of == "W" or axes[0 if of == "x" else 1] is not None:
        return jax.vmap(partial(_derived, of=of, padding=padding), axes)(*args), 0
    image = 1 if of == "x" else 0
    images = jnp.moveaxis(args[image], axes[image], 0)
    folded = images.reshape(-1, *images.shape[2:])
    out = derivative_p.bind(*((args[0], folded) if image else (folded, args[1])), of=of, padding=padding)
    return out.reshape(*images.shape[:2], *out.shape[1:]), 0


derivative_p = Primitive("convolution")
derivative_p.def_abstract_eval(lambda a, b, *, of, padding: ShapedArray(_shape(a, b, of, padding), a.dtype))
derivative_p.def_impl(jax.jit(derivative_p.bind, static_argnames=("of", "padding")))
ad.defbilinear(derivative_p, partial(_adjoint, 0), partial(_adjoint, 1))
batching.primitive_batchers[derivative_p] = _batched
mlir.register_lowering(derivative_p, mlir.lower_fun(_derived, multiple_results=False))
mlir.register_lowering(derivative_p, partial(called, function=_canonical), platform="cpu")
