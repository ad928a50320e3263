"""The two affine maps of every family, a convolution over space and a product over channels, and how they start.

Both compute in the dtype of their input; their parameters are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from models.cpu.convolution import Form, convolve, same
from models.cpu.materialized import materialized

Fields = Float[Array, "B *space C"]
"""Features over one, two or three axes of space: of signals, images or volumes."""
Images = Float[Array, "B H W C"]
Initializer = Callable[..., Array]


class Init(NamedTuple):
    """The initial kernel and bias; the bias depends on the number of inputs that each output sees."""

    kernel: Initializer
    bias: Callable[[int], Initializer] = lambda fan_in: nnx.initializers.zeros


def fan_avg(scale: float = 1.0) -> Init:
    """Uniform of variance scale 2/(fan_in + fan_out), and zero biases; scale 0 is zero.

    Ho et al. (2020)'s `default_init`, whose zero is a scale of 1e-10.
    """
    return Init(nnx.initializers.variance_scaling(scale, "fan_avg", "uniform") if scale else nnx.initializers.zeros)


def torch_default() -> Init:
    """Kernel and bias uniform in +-1/sqrt(fan_in): torch's, and so NCSN's and ADM's."""

    def bias(fan_in: int) -> Initializer:
        bound = fan_in**-0.5
        return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)

    return Init(nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform"), bias)


class Conv(nnx.Module):
    """y = W * x + b with W [k, k, C_in, C_out], at every `stride`-th pixel, with zeros around x to keep its size.

    `dilation`: the distance of the taps, at stride 1 and without `padding`. At stride 2 an even side is padded by one at its
    far end, as in Ho et al. (2020), unless `padding` says how many before and after. `axes`: of space, along each of which W
    has k taps, and along each of which stride, dilation and padding are the same.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: tuple[int, int] | None = None,
        bias: bool = True,
        init: Init | None = None,
        axes: int = 2,
        *,
        rngs: nnx.Rngs,
    ):
        if dilation > 1 and (stride > 1 or padding is not None):
            raise ValueError(f"dilation {dilation} is for stride 1 and its own padding, not for {stride} and {padding}")
        init = init or fan_avg()
        self.stride, self.dilation, self.padding = stride, dilation, padding
        self.kernel = nnx.Param(init.kernel(rngs.params(), (*(size,) * axes, channels_in, channels), jnp.float32))
        fan_in = size**axes * channels_in
        self.bias = nnx.Param(init.bias(fan_in)(rngs.params(), (channels,), jnp.float32)) if bias else None

    def __call__(self, x: Fields) -> Fields:
        W = self.kernel[...].astype(x.dtype)
        n, s = len(W), self.stride
        d = self.dilation
        around = tuple(self.padding or same(side, 1 + d * (n - 1), s) for side in x.shape[1:-1])
        y = convolve(x, W, Form(around, s, d))
        return y if self.bias is None else y + _everywhere(self.bias[...].astype(x.dtype), y.shape)


def _everywhere(b: Float[Array, " C"], shape: Sequence[int]) -> Fields:
    """b at every pixel. Its gradient is a sum by image first, on every core, of a cotangent that is computed once."""
    of_images = materialized(jnp.broadcast_to(b, (shape[0], *(1,) * len(shape[1:-1]), len(b))), forward=False)
    return materialized(jnp.broadcast_to(of_images, shape), forward=False)


def linear(channels_in: int, channels: int, bias: bool = True, init: Init | None = None, *, rngs: nnx.Rngs) -> nnx.Linear:
    """y = x W + b over the last axis, W [C_in, C_out]; over the channels of an image it is a convolution of size 1."""
    init = init or fan_avg()
    return nnx.Linear(
        channels_in,
        channels,
        use_bias=bias,
        kernel_init=init.kernel,
        bias_init=init.bias(channels_in),
        promote_dtype=_as_input,
        rngs=rngs,
    )


def _as_input(arrays: Any, /, **_: Any) -> Any:
    """(x, W, b) in the dtype of x."""
    return tuple(a if a is None else a.astype(arrays[0].dtype) for a in arrays)
