"""Several resolutions: pixels become channels, of which half are done at each."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from models.codec import Codec
from models.flows.sequence import sequence
from models.ranges import Levels
from sde_lib.base import Event, Scalar


def multiscale(steps: Codec, levels: Levels) -> Codec:
    """`steps` at each of `levels` resolutions, every one half the one before; at 0 levels, `steps` on the event as it is.

        level_i = unsqueeze . (half of the channels through level_{i+1}) . steps . squeeze

    Dinh et al. (2017), sec. 3.6; Kingma & Dhariwal (2018), fig. 2b. The code has the shape of the event: what is done stays
    where it stands, so that a network for such events is one for their codes.
    Raises ValueError, from `init`, if a side cannot be halved so often, or for a scalar.
    """
    codec = squeezed(steps) if levels else steps
    for _ in range(levels - 1):
        codec = squeezed(sequence(steps, half(codec)))

    def init(key: Key[Array, ""], x: Event) -> Any:
        if not x.shape:
            raise ValueError("a flow maps channels, and a scalar has no axis of them; give it the shape (1,)")
        most = min((side & -side for side in x.shape[:-1]), default=1).bit_length() - 1
        if levels > most:
            raise ValueError(f"levels = {levels} need sides that 2^{levels} divides, not those of {x.shape}; take {most}")
        return codec.init(key, x)

    return codec._replace(init=init)


def half(codec: Codec) -> Codec:
    """z = (codec(a), b) of the halves a and b of the channels."""

    def init(key: Key[Array, ""], x: Event) -> Any:
        return codec.init(key, jnp.split(x, 2, axis=-1)[0])

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        a, b = jnp.split(x, 2, axis=-1)
        z, cost = codec.encode(params, key, a)
        return jnp.concatenate([z, b], axis=-1), cost

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        a, b = jnp.split(z, 2, axis=-1)
        return jnp.concatenate([codec.decode(params, key, a), b], axis=-1)

    return Codec(init, encode, decode)


def squeezed(codec: Codec) -> Codec:
    """unsqueeze . codec . squeeze."""

    def init(key: Key[Array, ""], x: Event) -> Any:
        return codec.init(key, squeeze(x))

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        z, cost = codec.encode(params, key, squeeze(x))
        return unsqueeze(z), cost

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        return unsqueeze(codec.decode(params, key, squeeze(z)))

    return Codec(init, encode, decode)


def squeeze(x: Float[Array, "*space C"]) -> Float[Array, "*halved cC"]:
    """Cells of two pixels a side as the channels of one; those of a checkerboard's one colour come before the other's.

    So the halves of the channels are its colours: the first mask of Dinh et al. (2017), fig. 3.
    """
    *sides, channels = x.shape
    n = len(sides)
    cells = x.reshape(*(k for side in sides for k in (side // 2, 2)), channels)
    cells = jnp.moveaxis(cells, range(1, 2 * n, 2), range(n, 2 * n)).reshape(*(side // 2 for side in sides), 2**n, channels)
    return cells[..., _checkerboard(n), :].reshape(*cells.shape[:n], -1)


def unsqueeze(z: Float[Array, "*halved cC"]) -> Float[Array, "*space C"]:
    """The inverse of `squeeze`."""
    sides = z.shape[:-1]
    n = len(sides)
    cells = z.reshape(*sides, 2**n, -1)[..., np.argsort(_checkerboard(n)), :].reshape(*sides, *(2,) * n, -1)
    cells = jnp.moveaxis(cells, range(n, 2 * n), range(1, 2 * n, 2))
    return cells.reshape(*(2 * side for side in sides), -1)


def _checkerboard(n: int) -> np.ndarray:
    """The pixels of a cell over n axes by colour, the sum of their coordinates modulo two."""
    return np.argsort(np.indices((2,) * n).sum(0).ravel() % 2, kind="stable")
