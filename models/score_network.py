"""A network as a score: the network's output, read by a parameterisation, over the standard deviation of the noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.functional import Functional, functional
from models.parameterization import Parameterization, eps
from models.side_by_side import side_by_side
from sde_lib.augmented import AugmentedSDE
from sde_lib.base import SDE, Event, Scalar


class ScoreModel(NamedTuple):
    """A family of scores, and of variances if they are learned.

    init(key, x) -> params;  apply(params, x, t, y=None, key=None) -> score(x, t);
    with_variance(params, x, t, y=None, key=None) -> (score(x, t), v(x, t)), of one evaluation of the network.
    """

    init: Callable[..., Any]
    apply: Callable[..., Event]
    with_variance: Callable[..., tuple[Event, Event]]


def score_model(
    net: Any, sde: SDE, parameterization: Parameterization = eps, sigma_data: float = 1.0, learned_variance: bool = False
) -> ScoreModel:
    """The network as a score: score(x, t) = -(skip x + out net(c_in x, c_noise)) / sigma(t), on one example x.

    Of an AugmentedSDE that is the score of the variable that noise enters, and 0 for the others: see `side_by_side`.

    `net`: an NNX module or a builder of one, a linen module, or the `Functional` of one (see `models.functional`).
    `parameterization`: the quantity that it predicts, one of `models.PARAMETERIZATIONS` or another function.
    `sigma_data`: standard deviation of the data, for c_in and edm.
    `learned_variance`: the network emits twice the channels, [net, raw], and v = (raw + 1)/2 in log std = v log std_transition
    + (1 - v) log std_posterior. As in the source, nothing holds v to [0, 1]. Nichol & Dhariwal (2021), eq. 15.
    `y` and `key` of `apply` are the network's: a label or conditions by name (`models.conditions`), of one example, and the
    randomness of dropout (None: none).

    Raises TypeError from `with_variance` if no variance is learned, and for an SDE without alpha if the parameterization is by
    it; ValueError if the network emits another shape.
    """
    functions = net if isinstance(net, Functional) else functional(net)
    init, call = side_by_side(functions) if isinstance(sde, AugmentedSDE) else functions

    def evaluate(params: Any, x: Event, t: Scalar, y: Any, key: Key[Array, ""] | None) -> tuple[Event, list[Event]]:
        """The score, and the rest of the network's output."""
        c = parameterization(sde, t, sigma_data)
        batched = jax.tree.map(lambda a: jnp.asarray(a)[None], (c.c_in * x, c.c_noise, y))
        emitted = _shaped(call(params, *batched, key)[0], x, learned_variance)
        out, *rest = jnp.split(emitted, 2, axis=-1) if learned_variance else [emitted]
        return -(c.skip * x + c.out * out) / sde.sigma(t) * sde.noise_mask, rest

    def apply(params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None) -> Event:
        return evaluate(params, x, t, y, key)[0]

    def with_variance(
        params: Any, x: Event, t: Scalar, y: Any = None, key: Key[Array, ""] | None = None
    ) -> tuple[Event, Event]:
        if not learned_variance:
            raise TypeError("with_variance needs score_model(..., learned_variance=True), and a network with outputs=2")
        score, (raw,) = evaluate(params, x, t, y, key)
        return score, (raw + 1) / 2

    return ScoreModel(init, apply, with_variance)


def _shaped(emitted: Array, x: Event, learned_variance: bool) -> Array:
    """Returns `emitted`. ValueError unless it has the shape of x, or of two x along the last axis to learn a variance."""
    if learned_variance and not x.shape:
        raise ValueError("a scalar event has no last axis along which to learn a variance; take another objective")
    wanted = (*x.shape[:-1], 2 * x.shape[-1]) if learned_variance else x.shape
    if emitted.shape == wanted:
        return emitted
    remedy = "build it with outputs=2" if learned_variance else "learned_variance=True takes one of twice the channels"
    raise ValueError(f"the network must emit {wanted} for x of shape {x.shape}, not {emitted.shape}; {remedy}")
