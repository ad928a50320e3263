"""The conditions of a network, by their names: what its argument y is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Float, Int

Conditions = Int[Array, " B"] | Mapping[str, Int[Array, " B"] | Float[Array, "B *D"] | None] | None
"""The label of each example, or conditions by name, vectors [D], tokens [L, D] or images, of which any may be absent."""


def by_name(y: Any) -> Mapping[str, Any]:
    """Returns the conditions y by their names; if y is not a mapping, it is the label."""
    return y if isinstance(y, Mapping) else {"label": y}
