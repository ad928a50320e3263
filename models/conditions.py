"""The conditions of a network, by their names: what its argument y is.

    label   [B]             the number of a class; the number of classes is no label
    vector  [B, D]          numbers
    image   [B, *space, C]  an image of the sides of x, which enters beside x
    tokens  [B, L, d]       a sequence of vectors; or [B, L], the characters of a text by their numbers, 0 for none
    augment [B, 9]          the map of an augmentation (EDM's)

Any may be absent. To a network that is the same as zeros, or as the label after the last: the null, which takes the place of a
condition where training drops it (Ho & Salimans 2022), so that one network learns the scores with and without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from models.layers.affine import Fields

Conditions = Int[Array, " B"] | Mapping[str, Int[Array, "B ..."] | Float[Array, "B ..."] | None] | None
"""The label of each example, or conditions by name, of which any may be absent: vectors [D], tokens [L, D] or [L], images."""


def by_name(y: Any) -> Mapping[str, Any]:
    """Returns the conditions y by their names; if y is not a mapping, it is the label."""
    return y if isinstance(y, Mapping) else {"label": y}


def simplest(y: Any) -> Any:
    """Returns the conditions y without those that are absent: by name, or a label that is alone as it is, or None."""
    there = {name: condition for name, condition in by_name(y).items() if condition is not None}
    return there.get("label") if there.keys() <= {"label"} else there


def without(y: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns the conditions y without those of these names."""
    return {name: condition for name, condition in y.items() if name not in names}


def embedded(embed: Callable[[Array], Array] | None, condition: Array | None, dtype: Any) -> Array | None:
    """Returns embed(condition), computed in `dtype`; None if the network has no such embedding, or y no such condition."""
    return None if embed is None or condition is None else embed(condition.astype(dtype))


def beside(x: Fields, image: Fields | None, channels: int) -> Fields:
    """Returns [x, image] along the channels, for an image of so many; zeros for one that is absent."""
    if not channels:
        return x
    absent = jnp.zeros((*x.shape[:-1], channels), x.dtype)
    return jnp.concatenate([x, absent if image is None else image.astype(x.dtype)], axis=-1)
