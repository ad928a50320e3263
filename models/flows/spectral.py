"""The norms of linear maps, so that a network can be made a contraction."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float

from sde_lib.base import Scalar


def contractive(params: dict[str, Any], sides: tuple[int, ...], lipschitz: Scalar) -> dict[str, Any]:
    """The parameters of n layers {kernel: W, bias: b} with W / max(1, |W|/c) for each W, where c^n = `lipschitz`.

    A network of them, whose activations are 1-Lipschitz, is `lipschitz`-Lipschitz on events of these sides. Miyato et al.
    (2018); Behrmann et al. (2019), sec. 2. Their |W| is a power iteration's, which goes on from step to step; here it is that
    of `squared_norm`, a function of W alone.
    """
    c = lipschitz ** (1 / len(params))

    def scaled(layer: dict[str, Array]) -> dict[str, Array]:
        W = layer["kernel"]
        return layer | {"kernel": W / jnp.sqrt(jnp.maximum(1.0, squared_norm(W, sides) / c**2))}

    return {name: scaled(layer) for name, layer in params.items()}


def squared_norm(W: Float[Array, "*taps I O"], sides: tuple[int, ...]) -> Scalar:
    """|W|^2, exact of a product x -> x W, and a bound of a convolution x -> W * x of events of these sides.

    With zeros around x, the convolution is a part of a circular one on sides longer by k - 1, for k taps. Fourier's transform
    makes of that one a matrix [I, O] for each frequency: the largest of their norms is its norm, and the bound. Sedghi et al.
    (2019), thm. 6, for any number of axes of space. The squared norm of a matrix is the largest eigenvalue of W W^H.
    """
    if W.ndim > 2:
        longer = [side + k - 1 for side, k in zip(sides, W.shape, strict=False)]
        W = jnp.fft.rfftn(W, longer, axes=range(len(sides)))
    if W.shape[-2] > W.shape[-1]:
        W = W.mT
    return jnp.linalg.eigvalsh(jnp.matmul(W, W.mT.conj(), precision=Precision.HIGHEST)).max()
