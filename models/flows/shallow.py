"""The network inside a layer of a flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flax import nnx
from jaxtyping import Array

from models.layers.affine import Conv, Fields, fan_avg, linear
from models.ranges import Width


class Shallow(nnx.Module):
    """W_3 * a(W_2 a(W_1 * x + b_1) + b_2) + b_3: taps of 3 along each axis of space, one pixel, and taps of 3 again.

    Kingma & Dhariwal (2018), app. B. On a vector all three are products. `width`: channels in between; `outputs`: at the end,
    or as many as those of x; `activation`: a. W_3 and b_3 start at zero.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width,
        outputs: int | None = None,
        activation: Callable[[Array], Array] = nnx.silu,
        *,
        rngs: nnx.Rngs,
    ):
        *sides, channels = shape
        affine = partial(Conv, axes=len(sides)) if sides else linear
        self.first = affine(channels, width, rngs=rngs)
        self.middle = linear(width, width, rngs=rngs)
        self.last = affine(width, outputs or channels, init=fan_avg(0), rngs=rngs)
        self.activation = activation

    def __call__(self, x: Fields, *unconditional: None) -> Fields:
        h = self.activation(self.first(x))
        return self.last(self.activation(self.middle(h)))
