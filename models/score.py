"""What a network predicts, as four scalars, and score_model: network -> Score.

    eps_hat = skip x + out net(c_in x, c_noise),        score(x, t) = -eps_hat / sigma(t)

With x_t = alpha x_0 + sigma eps, each parameterisation solves for eps. c_in = 1/sqrt(alpha^2 sigma_d^2 + sigma^2)
gives the network inputs of unit variance on every SDE when the data has standard deviation sigma_d (on VP with sigma_d = 1 it
is 1), and c_noise = log(sigma/alpha)/4 tells the noise level in one unit on every SDE (Karras et al. 2022, table 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.functional import Functional, functional
from sde_lib.base import SDE, Event, LinearSDE, Scalar, linear


class Coefs(NamedTuple):
    """eps_hat = skip x + out net(c_in x, c_noise)."""

    c_in: Scalar
    c_noise: Scalar
    skip: Scalar
    out: Scalar


Parameterization = Callable[[LinearSDE, Scalar, float], Coefs]


def _coefs(sde: LinearSDE, t: Scalar, sigma_data: float, skip: Scalar, out: Scalar) -> Coefs:
    return Coefs(1 / _norm(sde, t, sigma_data), -sde.log_snr(t) / 8, skip, out)


def _norm(sde: LinearSDE, t: Scalar, sigma_data: float) -> Scalar:
    """Standard deviation of x_t, sqrt(alpha^2 sigma_d^2 + sigma^2)."""
    return jnp.hypot(sde.alpha(t) * sigma_data, sde.sigma(t))


def eps(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = eps. Ho et al. (2020), eq. 11."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=1.0)


def x0(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = x_0, so eps = (x - alpha net) / sigma."""
    return _coefs(sde, t, sigma_data, skip=1 / sde.sigma(t), out=-sde.alpha(t) / sde.sigma(t))


def v(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = v = cos(phi) eps - sin(phi) x_0 at the angle phi = arctan(sigma/alpha).

    With r = sqrt(alpha^2 + sigma^2): eps = sigma/r^2 x + alpha/r net. Salimans & Ho (2022), app. D, where r = 1.
    """
    r = _norm(sde, t, 1.0)
    return _coefs(sde, t, sigma_data, skip=sde.sigma(t) / r**2, out=sde.alpha(t) / r)


def score(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = score, so eps = -sigma net. NCSN's (Song & Ermon 2019)."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=-sde.sigma(t))


def sigma_score(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = sigma score = -eps: what NCSNv2 (Song & Ermon 2020, sec. 3.3) and NCSN++ emit before they divide by sigma."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=-1.0)


def edm(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = F of Karras et al. (2022), eq. 7: D(y) = c_skip y + c_out F in y = x/alpha at noise sigma/alpha.

    With r = sqrt(alpha^2 sigma_d^2 + sigma^2): eps = sigma/r^2 x - alpha sigma_d/r net. At sigma_d = 1 it is -v.
    """
    r = _norm(sde, t, sigma_data)
    return _coefs(sde, t, sigma_data, skip=sde.sigma(t) / r**2, out=-sde.alpha(t) * sigma_data / r)


def residual_eps(sde: LinearSDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = eps - x. VDM's, which adds x to what its network emits (Kingma et al. 2021's repository)."""
    return _coefs(sde, t, sigma_data, skip=1.0, out=1.0)


class ScoreModel(NamedTuple):
    """A family of scores, and of variances where they are learned.

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

    `net`: an NNX module or what builds one, a linen module, or the `Functional` of one (see `models.functional`).
    `parameterization`: what it predicts, one of `eps x0 v score sigma_score residual_eps edm` or a function like them.
    `sigma_data`: standard deviation of the data, for c_in and edm.
    `learned_variance`: the network emits twice the channels, [net, raw], and v = (raw + 1)/2 in log std = v log std_transition
    + (1 - v) log std_posterior. As in the source, nothing holds v to [0, 1]. Nichol & Dhariwal (2021), eq. 15.
    `y` and `key` of `apply` are the network's: a label, and the randomness of dropout (None: none).

    Raises TypeError for an SDE without alpha and sigma, and from `with_variance` where no variance is learned; ValueError where
    the network emits another shape.
    """
    linear_sde = linear(sde, "score_model", "write the score of another SDE as a plain function score(x, t)")
    init, call = net if isinstance(net, Functional) else functional(net)

    def evaluate(params: Any, x: Event, t: Scalar, y: Any, key: Key[Array, ""] | None) -> tuple[Event, list[Event]]:
        """The score, and the rest of what the network emits."""
        c = parameterization(linear_sde, t, sigma_data)
        batched = jax.tree.map(lambda a: jnp.asarray(a)[None], (c.c_in * x, c.c_noise, y))
        emitted = _shaped(call(params, *batched, key)[0], x, learned_variance)
        out, *rest = jnp.split(emitted, 2, axis=-1) if learned_variance else [emitted]
        return -(c.skip * x + c.out * out) / linear_sde.sigma(t), rest

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
    """`emitted`, where it has the shape of x, or of two x along the last axis to learn a variance; a ValueError otherwise."""
    if learned_variance and not x.shape:
        raise ValueError("a scalar event has no last axis along which to learn a variance; take another objective")
    wanted = (*x.shape[:-1], 2 * x.shape[-1]) if learned_variance else x.shape
    if emitted.shape == wanted:
        return emitted
    remedy = "build it with outputs=2" if learned_variance else "learned_variance=True takes one of twice the channels"
    raise ValueError(f"the network must emit {wanted} for x of shape {x.shape}, not {emitted.shape}; {remedy}")
