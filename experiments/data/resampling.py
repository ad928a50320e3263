"""Images under an affine map, by way of texels: twice the resolution, at which linear interpolation is accurate.

A texel between two pixels is predicted from the six around it, by taps o at odd places alone: u = 1 + o (Deslauriers & Dubuc
1989). The way back is the filter g = 1 + (o - o o)/2 at every other texel, the dual of u by a lifting step (Sweldens 1996). So
an image that is not moved stays as it is: at even places g u = 1 - o o/2 + o o/2 = 1.

Both filters are symmetric. EDM's code takes the wavelet sym6 both ways, which is not, and an image that it turns is up to 0.6
pixels from its place.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float


def _one_plus(taps: np.ndarray) -> np.ndarray:
    """1 + taps, where the tap of place 0 is in the middle."""
    return taps + np.eye(1, len(taps), len(taps) // 2)[0]


PREDICTION = np.array([3, 0, -25, 0, 150, 0, 150, 0, -25, 0, 3]) / 256
UP = _one_plus(PREDICTION)
DOWN = _one_plus((np.pad(PREDICTION, len(PREDICTION) // 2) - np.convolve(PREDICTION, PREDICTION)) / 2)
REACH = len(DOWN) // 2
"""The texels to either side that a pixel is made from."""


def resampled(x: Float[Array, "H W C"], inverse: Float[Array, "2 2"], shift: Float[Array, " 2"]) -> Float[Array, "H W C"]:
    """Returns the image y(p) = x(inverse (p - shift)), where p = (right, down) counts pixels from the centre.

    Beyond its border x goes on as in a mirror that stands on the outermost pixels. H and W are at least 2.
    """
    height, width, _ = x.shape
    p = jnp.stack(jnp.meshgrid(_places(width), _places(height)))
    source = jnp.einsum("ij,jyx->iyx", inverse, p - shift[:, None, None], precision=Precision.HIGHEST)
    place = 2 * source[1] + (height - 1), 2 * source[0] + (width - 1)
    interpolate = partial(jax.scipy.ndimage.map_coordinates, coordinates=place, order=1, mode="mirror")
    moved = jax.vmap(interpolate, -1, -1)(_along_both(_to_texels(height), _to_texels(width), x))
    return _along_both(_to_pixels(height), _to_pixels(width), moved)


def _along_both(
    vertical: Float[np.ndarray, "Y I"], horizontal: Float[np.ndarray, "X J"], x: Float[Array, "I J C"]
) -> Float[Array, "Y X C"]:
    """The product of one matrix with each column of x, and of the other with each row."""
    matrices = jnp.asarray(vertical, x.dtype), jnp.asarray(horizontal, x.dtype)
    return jnp.einsum("yi,xj,ijc->yxc", *matrices, x, precision=Precision.HIGHEST)


def _places(n: int) -> Float[Array, " T"]:
    """The texels along n pixels and `REACH` more at either end, in pixels from the centre."""
    return jnp.arange(1 - n - REACH, n + REACH) / 2


def _to_texels(n: int) -> Float[np.ndarray, "2*n-1 n"]:
    """`UP`, of n pixels that go on as in a mirror."""
    pixels = np.zeros((2 * n - 1, n))
    pixels[::2] = np.eye(n)
    mirrored = np.pad(pixels, ((len(UP) // 2, len(UP) // 2), (0, 0)), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(mirrored, len(UP), axis=0) @ UP


def _to_pixels(n: int) -> Float[np.ndarray, "n T"]:
    """`DOWN`, at every other one of the texels of `_places`."""
    return np.stack([np.pad(DOWN, (2 * i, 2 * (n - 1 - i))) for i in range(n)])
