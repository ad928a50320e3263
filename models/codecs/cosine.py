"""The cosine codec: frequencies in place of positions."""

from __future__ import annotations

from jax.scipy import fft
from jaxtyping import Array, Key

from models.codec import Codec
from sde_lib.base import Event, Scalar


def cosine() -> Codec:
    """z = C x along each axis of space, C_kn = c_k cos(pi k (n + 1/2)/N): the DCT-II, of cost 0 as C is orthogonal.

    c_0 = sqrt(1/N), and c_k = sqrt(2/N) for the other k. x: an event [*space, C] of one, two or three axes of space; z has its
    shape, low frequencies first. Raises ValueError, from `encode` and `decode`, for an event without space.
    """

    def encode(params: tuple[()], key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        return frequencies(x), 0.0

    def decode(params: tuple[()], key: Key[Array, ""] | None, z: Event) -> Event:
        return positions(z)

    return Codec(lambda key, x: (), encode, decode)


def frequencies(x: Event) -> Event:
    """Returns C x along each axis of space."""
    return fft.dctn(x, axes=_space(x), norm="ortho")


def positions(z: Event) -> Event:
    """Returns C^T z along each axis of space."""
    return fft.idctn(z, axes=_space(z), norm="ortho")


def _space(x: Event) -> tuple[int, ...]:
    """All axes but the last, the channels'."""
    if x.ndim < 2:
        raise ValueError(f"cosine needs axes of space, [*space, C], and an event of shape {x.shape} has none; leave it out")
    return tuple(range(x.ndim - 1))
