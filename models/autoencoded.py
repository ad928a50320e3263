"""A score given a learned code of the example itself: a diffusion autoencoder."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.plain import Plain
from models.score_network import ScoreModel
from sde_lib.base import Event, Scalar


def autoencoded(model: ScoreModel, encoder: Plain, shape: tuple[int, ...]) -> ScoreModel:
    """`model` with an encoder of events of `shape` beside it: the parameters are {"net": those of the model, "encoder"}.

    The score is the model's, given z = E(x_0) as the vector of y: score(x, t | z). Any objective trains E with it, as its
    gradient reaches E through z, and there is no other loss. With the latent x_1 of the flow given z, z determines x_0; with
    another x_1 comes another x of this z. Preechakul et al. (2022), secs. 3.1-3.3.
    """

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        return {"net": model.init(key, x), "encoder": encoder.init(jax.random.fold_in(key, 1), jnp.zeros(shape))}

    def apply(params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None) -> Event:
        return model.apply(params["net"], x, t, y, key)

    def with_variance(
        params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None
    ) -> tuple[Event, Event]:
        return model.with_variance(params["net"], x, t, y, key)

    return ScoreModel(init, apply, with_variance)
