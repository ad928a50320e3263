"""A score mixed of a network's and of the standard normal's, in shares that are learned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.score_network import ScoreModel
from sde_lib.base import SDE, Event, Scalar, linear


def mixed(model: ScoreModel, sde: SDE, logit: float = -3.0) -> ScoreModel:
    """score(x, t) = (1 - a) -x/(alpha^2 + sigma^2) + a model(x, t),   a = sigmoid(logit) for each channel, the last axis of x.

    The first is the score if the data is N(0, I), so that at a = 0 the prior of codes is that of a VAE, and the network has to
    learn what is not normal. On VP, where alpha^2 + sigma^2 = 1, eps_hat = (1 - a) sigma x + a eps_net: Vahdat et al. (2021),
    sec. 3.2. `logit`: the initial one. The parameters are {"net": those of the model, "logit": [C]}.

    Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = linear(sde, "mixed", "train the model itself")

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        return {"net": model.init(key, x), "logit": jnp.full(x.shape[-1:], logit)}

    def mix(params: Any, net: Event, x: Event, t: Scalar) -> Event:
        a, normal = jax.nn.sigmoid(params["logit"]), -x / (linear_sde.alpha(t) ** 2 + linear_sde.sigma(t) ** 2)
        return (1 - a) * normal + a * net

    def apply(params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None) -> Event:
        return mix(params, model.apply(params["net"], x, t, y, key), x, t)

    def with_variance(
        params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None
    ) -> tuple[Event, Event]:
        net, v = model.with_variance(params["net"], x, t, y, key)
        return mix(params, net, x, t), v

    return ScoreModel(init, apply, with_variance)
