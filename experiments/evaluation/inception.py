"""The Inception network of FID, the graph of 2015-12-05: averages that leave padding out, a maximum in the last block.

Szegedy et al. (2016), section 6, as TensorFlow published it. `inception_weights` reads what the user brings for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

SIDE = 299
"""The height and the width that the network sees, in pixels."""

Pixels = UInt8[Array, "H W C"]
Images = Float[Array, "B H W C"]
Params = dict[str, dict[str, Any]]


class Convolution(NamedTuple):
    """relu(W * x + b), folded from relu(BN(W * x)). Zeros beyond the border keep the size, unless `padding` is VALID."""

    name: str
    channels: int
    size: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"


class Fork(NamedTuple):
    """Branches of one input, each a chain of layers, side by side in the channels."""

    name: str
    branches: tuple[Chain, ...]


Chain = tuple["Convolution | Fork | Callable[[Images], Images]", ...]


def average(x: Images) -> Images:
    """The mean of the pixels of a 3 x 3 window that lie within the image."""
    window = partial(jax.lax.reduce_window, window_dimensions=(1, 3, 3, 1), window_strides=(1, 1, 1, 1), padding="SAME")
    within = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return window(x, 0.0, jax.lax.add) / window(within, 0.0, jax.lax.add)


def maximum(x: Images, stride: int = 2, padding: str = "VALID") -> Images:
    """The maximum of the pixels of a 3 x 3 window that lie within the image."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def block_a(name: str, pooled: int) -> Fork:
    """A block at 35 x 35 pixels; `pooled`: channels of the averages."""
    conv = partial(_conv, name)
    return Fork(
        name,
        (
            (conv("1x1", 64),),
            (conv("5x5_1", 48), conv("5x5_2", 64, (5, 5))),
            (conv("3x3dbl_1", 64), conv("3x3dbl_2", 96, (3, 3)), conv("3x3dbl_3", 96, (3, 3))),
            (average, conv("_pool", pooled)),
        ),
    )


def block_b(name: str) -> Fork:
    """The block from 35 x 35 to 17 x 17 pixels."""
    conv = partial(_conv, name)
    return Fork(
        name,
        (
            (conv("3x3", 384, (3, 3), 2, "VALID"),),
            (conv("3x3dbl_1", 64), conv("3x3dbl_2", 96, (3, 3)), conv("3x3dbl_3", 96, (3, 3), 2, "VALID")),
            (maximum,),
        ),
    )


def block_c(name: str, width: int) -> Fork:
    """A block at 17 x 17 pixels, with kernels of rows and columns of seven."""
    conv, row, column = partial(_conv, name), (1, 7), (7, 1)
    return Fork(
        name,
        (
            (conv("1x1", 192),),
            (conv("7x7_1", width), conv("7x7_2", width, row), conv("7x7_3", 192, column)),
            (
                conv("7x7dbl_1", width),
                *(conv("7x7dbl_2", width, column), conv("7x7dbl_3", width, row)),
                *(conv("7x7dbl_4", width, column), conv("7x7dbl_5", 192, row)),
            ),
            (average, conv("_pool", 192)),
        ),
    )


def block_d(name: str) -> Fork:
    """The block from 17 x 17 to 8 x 8 pixels."""
    conv, row, column = partial(_conv, name), (1, 7), (7, 1)
    return Fork(
        name,
        (
            (conv("3x3_1", 192), conv("3x3_2", 320, (3, 3), 2, "VALID")),
            (
                *(conv("7x7x3_1", 192), conv("7x7x3_2", 192, row), conv("7x7x3_3", 192, column)),
                conv("7x7x3_4", 192, (3, 3), 2, "VALID"),
            ),
            (maximum,),
        ),
    )


def block_e(name: str, pool: Callable[[Images], Images]) -> Fork:
    """A block at 8 x 8 pixels, whose branches fork once more."""
    conv = partial(_conv, name)
    both = lambda stem: Fork("", ((conv(f"{stem}a", 384, (1, 3)),), (conv(f"{stem}b", 384, (3, 1)),)))
    return Fork(
        name,
        (
            (conv("1x1", 320),),
            (conv("3x3_1", 384), both("3x3_2")),
            (conv("3x3dbl_1", 448), conv("3x3dbl_2", 384, (3, 3)), both("3x3dbl_3")),
            (pool, conv("_pool", 192)),
        ),
    )


def _conv(block: str, branch: str, *options: Any) -> Convolution:
    return Convolution(f"{block}.branch{branch}", *options)


NETWORK: Chain = (
    Convolution("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
    Convolution("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
    Convolution("Conv2d_2b_3x3", 64, (3, 3)),
    maximum,
    Convolution("Conv2d_3b_1x1", 80),
    Convolution("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
    maximum,
    block_a("Mixed_5b", 32),
    block_a("Mixed_5c", 64),
    block_a("Mixed_5d", 64),
    block_b("Mixed_6a"),
    block_c("Mixed_6b", 128),
    block_c("Mixed_6c", 160),
    block_c("Mixed_6d", 160),
    block_c("Mixed_6e", 192),
    block_d("Mixed_7a"),
    block_e("Mixed_7b", average),
    block_e("Mixed_7c", partial(maximum, stride=1, padding="SAME")),
)


def outputs(chain: Chain, x: Images, convolve: Callable[[Convolution, Images], Images]) -> Iterator[tuple[str, Images]]:
    """The output of every layer of the chain, in order, with its name; pools have none."""
    for layer in chain:
        if isinstance(layer, Convolution):
            x = convolve(layer, x)
        elif isinstance(layer, Fork):
            x = jnp.concatenate([list(outputs(branch, x, convolve))[-1][1] for branch in layer.branches], axis=-1)
        else:
            x = layer(x)
        yield getattr(layer, "name", ""), x


def blocks(params: Params, x: Images) -> Iterator[tuple[str, Images]]:
    """The outputs of the stem's layers and of the blocks, for images in [-1, 1]; the last is [B, 8, 8, 2048]."""

    def convolve(layer: Convolution, x: Images) -> Images:
        return jax.nn.relu(convolution(layer, params[layer.name]["kernel"], x) + params[layer.name]["bias"])

    return outputs(NETWORK, x, convolve)


def convolution(layer: Convolution, kernel: jax.Array, x: Images) -> Images:
    """W * x of a kernel [h, w, I, O]."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (layer.stride, layer.stride),
        layer.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,  # accelerators multiply with fewer bits by default
    )


def resize(x: Float[Array, "H W C"], side: int = SIDE) -> Float[Array, "side side C"]:
    """x[s i], s = H/side, on the line between pixel floor(s i) and the next: no antialiasing, and a grid from the corner.

    It is TensorFlow 1's `resize_bilinear` with align_corners False, a part of the graph.
    """
    for axis in (1, 0):
        n = x.shape[axis]
        at = np.arange(side, dtype=np.float32) * np.float32(n / side)
        low = at.astype(int)
        here, after = x.take(low, axis), x.take(np.minimum(low + 1, n - 1), axis)
        x = here + (after - here) * np.expand_dims(at - low, tuple({0, 1, 2} - {axis}))
    return x


def embed(params: Params, image: Pixels) -> Float[Array, "2048"]:
    """The features of FID: the mean of the last block. An image of one channel is repeated to three."""
    x = jnp.broadcast_to(image.astype(jnp.float32), (*image.shape[:2], 3))
    *_, (_, x) = blocks(params, (resize(x)[None] - 128) / 128)
    return x[0].mean((0, 1))
