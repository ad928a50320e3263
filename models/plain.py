"""A network on one event, without a noise level or conditions: an encoder or a decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from models.functional import Functional, functional
from sde_lib.base import Event


class Plain(NamedTuple):
    """init(key, x) -> params;  apply(params, x) -> what the network emits of one event x."""

    init: Callable[..., Any]
    apply: Callable[..., Array]


def plain(net: Any) -> Plain:
    """The network at c_noise = 0; `net` as of `score_model`."""
    init, call = net if isinstance(net, Functional) else functional(net)

    def apply(params: Any, x: Event) -> Array:
        return call(params, x[None], jnp.zeros(1), None, None)[0]

    return Plain(init, apply)
