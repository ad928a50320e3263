"""The convolution at stride 1 and its two adjoints, each in the one form that XLA:CPU is fast at.

    T(x, W, y) = sum_{b h w i o k l} y[b, h, w, o] x[b, h + k, w + l, i] W[k, l, i, o]

XLA:CPU has fast code for NHWC with HWIO, stride 1 and undilated, and rewrites other forms to it only outside of loops. Inside
`lax.scan` the gradient of a kernel as JAX derives it makes a whole step of training at 8x8 take 36 times as long (DDPM of width
32, batch 128; two cores of an AMD EPYC, jax 0.10.2). So all three are in this form.
"""

from __future__ import annotations

from functools import partial

import jax
from jaxtyping import Array, Float

from models.cpu import winograd
from models.cpu.bilinear import Role, bilinear
from models.cpu.gate import called
from models.cpu.winograd import Padding


def plain(x: Float[Array, "B H W I"], W: Float[Array, "k l I O"], form: Padding) -> Float[Array, "B h w O"]:
    """The convolution as XLA has it, with zeros before and after each side."""
    return jax.lax.conv_general_dilated(x, W, (1, 1), form, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.jit, static_argnames=("of", "form", "shape"))
def canonical(a: Array, b: Array, *, of: Role, form: Padding, shape: tuple[int, ...]) -> Array:
    """The adjoint in x is by the kernel turned around, that in W with batch and channels swapped.

    This is a function that is called. Inlined, the swaps would be fused with the operands' producers, which would be computed
    once more in the wrong order of memory.
    """
    if of == "x":
        (top, bottom), (left, right) = form
        k, l = a.shape[0] - 1, a.shape[1] - 1
        turned = jax.lax.optimization_barrier(a[::-1, ::-1].swapaxes(2, 3))  # or it is folded into another form
        return canonical(b, turned, of="y", form=((k - top, k - bottom), (l - left, l - right)), shape=shape)
    if of == "y":
        return (winograd.correlate if winograd.pays(b.shape, shape, a.dtype) else plain)(a, b, form)
    if winograd.pays(shape, b.shape, a.dtype):
        return winograd.kernel_adjoint(a, b, form)
    return plain(a.transpose(3, 1, 2, 0), b.transpose(1, 2, 0, 3), form).transpose(1, 2, 0, 3)


correlate = bilinear("correlation", plain, called(canonical))
