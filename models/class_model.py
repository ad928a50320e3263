"""A network that classifies a noisy image, as log p(y | x_t)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from models.functional import Functional, functional
from models.parameterization import Parameterization, eps
from sde_lib import base
from sde_lib.base import SDE, Event, Scalar


class ClassModel(NamedTuple):
    """A family of classifiers: init(key, x) -> params;  apply(params, x, t, key=None) -> log p(. | x_t = x) [classes]."""

    init: Callable[..., Any]
    apply: Callable[..., Float[Array, " classes"]]


def class_model(
    net: Any, sde: SDE, classes: int, parameterization: Parameterization = eps, sigma_data: float = 1.0
) -> ClassModel:
    """log p(. | x_t = x) = log_softmax net(c_in x, c_noise), on one example x; `net` as of `score_model`.

    Only c_in and c_noise of the `parameterization` count: the scale of the input and the unit of the noise level. Raises
    TypeError for an SDE without alpha and sigma, and ValueError unless the network emits a logit for each of `classes`.
    """
    on = base.linear(sde, "class_model", "samplers.classifier takes any function log_prob_y(x, t) of another SDE")
    init, call = net if isinstance(net, Functional) else functional(net)

    def apply(params: Any, x: Event, t: Scalar, key: Key[Array, ""] | None = None) -> Float[Array, " classes"]:
        c = parameterization(on, t, sigma_data)
        logits = call(params, jnp.asarray(c.c_in * x)[None], jnp.asarray(c.c_noise)[None], None, key)[0]
        if logits.shape != (classes,):
            raise ValueError(f"a classifier emits {classes} logits, not {logits.shape}: take net Classifier, or objective dsm")
        return jax.nn.log_softmax(logits)

    return ClassModel(init, apply)
