"""The hierarchical VAE: groups of codes, each drawn given those above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from models.codec import Code, Codec, reconstructing
from models.codecs.likelihoods import Emitted, Likelihood
from models.functional import pure
from sde_lib.base import Event, NonNegative, Scalar

Codes = Float[Array, "..."] | float
"""Those of a group, with an axis of examples in front, or one number for all."""


class Normal(NamedTuple):
    """N(mu, diag sigma^2)."""

    mu: Codes
    log_sigma: Codes

    def shifted(self, d_mu: Codes, d_log_sigma: Codes) -> Normal:
        """N(mu + d_mu, diag (sigma d_sigma)^2)."""
        return Normal(self.mu + d_mu, self.log_sigma + d_log_sigma)

    def draw(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """mu + sigma n."""
        return self.mu + jnp.exp(self.log_sigma) * jax.random.normal(key, jnp.shape(self.mu))

    def log_prob(self, z: Codes) -> Scalar:
        """log N(z; mu, sigma^2), summed."""
        return norm.logpdf(z, self.mu, jnp.exp(self.log_sigma)).sum()

    def kl(self, p: Normal) -> Scalar:
        """KL(self || p) = sum ((mu - mu_p)^2/sigma_p^2 + r^2 - 1)/2 - log r,  r = sigma/sigma_p."""
        log_r = self.log_sigma - p.log_sigma
        return jnp.sum((((self.mu - p.mu) / jnp.exp(p.log_sigma)) ** 2 + jnp.expm1(2 * log_r)) / 2 - log_r)


class Group(NamedTuple):
    """z ~ q(z_l | z_<l, x), and p(z_l | z_<l)."""

    z: Float[Array, "..."]
    q: Normal
    p: Normal


STANDARD = Normal(0.0, 0.0)


def hierarchical_vae(
    net: Callable[..., nnx.Module], likelihood: Likelihood, shape: tuple[int, ...], free_nats: NonNegative = 0.0
) -> Codec:
    """Codes z_1, ..., z_n from the top down, p(z_l | z_<l) = N(mu_l, sigma_l^2), and p(x | z) a `likelihood`:

        q(z_l | z_<l, x) = N(mu_l + d_mu, (sigma_l d_sigma)^2)
        cost = log q(z_1 | x) + sum_{l > 1} log q(z_l | z_<l, x)/p(z_l | z_<l) - log p(x | z)
        loss = -log p(x | z) + beta sum_l max(KL(q(z_l | z_<l, x) || p(z_l | z_<l)), free_nats)

    The code is z_1 alone, and N(0, I) its prior until a score of codes takes its place. The others are part of the cost, and
    decoding draws them from their p. That q goes down as p does is Sønderby et al. (2016); its residual form is Vahdat & Kautz
    (2020), sec. 3.2; `free_nats` are Kingma et al. (2016)'s free bits, here of each example and each of the n groups.

    `net`(shape, channels, rngs=rngs) builds a module with the methods of `models.Ladder`: features(x) -> (h_1, ..., h_n);
    start() -> s, the state above all codes; groups, each of prior(s) -> (mu, log sigma), residual(s, h) -> (d_mu, log d_sigma)
    and merge(s, z) -> s; emit(s), of the channels of the likelihood. All have an axis of examples in front. `shape`: of x.
    Raises ValueError, from `init`, if x has another.
    """
    init_net, module = pure(lambda shape, rngs: net(shape, likelihood.channels(shape[-1]), rngs=rngs))

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        if x.shape != shape:
            raise ValueError(f"the hierarchical VAE is for x of shape {shape}, not {x.shape}: build it with that")
        return {"net": init_net(key, shape), "likelihood": likelihood.init()}

    def infer(params: dict[str, Any], key: Key[Array, ""], x: Event) -> tuple[list[Group], Emitted]:
        """Draws each group from its q; returns them, and what the ladder emits at them."""
        ladder: Any = module(params["net"], shape)
        keys = jax.random.split(key, len(ladder.groups))
        s, groups = ladder.start(), []
        for group, h, each in zip(ladder.groups, ladder.features(x[None]), keys, strict=True):
            p = Normal(*group.prior(s)) if groups else STANDARD
            q = p.shifted(*group.residual(s, h))
            z = q.draw(each)
            s = group.merge(s, z)
            groups.append(Group(z, q, p))
        return groups, ladder.emit(s)[0]

    def posterior(params: dict[str, Any], x: Event) -> Float[Array, "..."]:
        """mu and log sigma of q(z_1 | x), side by side along the last axis."""
        ladder: Any = module(params["net"], shape)
        q = STANDARD.shifted(*ladder.groups[0].residual(ladder.start(), ladder.features(x[None])[0]))
        return jnp.concatenate([q.mu, q.log_sigma], axis=-1)[0]

    def draw(params: dict[str, Any], key: Key[Array, ""], q: Float[Array, "..."]) -> Code:
        ladder: Any = module(params["net"], shape)
        return Normal(*jnp.split(q[None], 2, axis=-1)).draw(jax.random.split(key, len(ladder.groups))[0])[0]

    def encode(params: dict[str, Any], key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        (top, *others), emitted = infer(params, key, x)
        cost = top.q.log_prob(top.z) - likelihood.log_prob(params["likelihood"], emitted, x)
        return top.z[0], cost + sum(group.q.log_prob(group.z) - group.p.log_prob(group.z) for group in others)

    def decode(params: dict[str, Any], key: Key[Array, ""] | None, z: Code) -> Event:
        ladder: Any = module(params["net"], shape)
        keys = [None] * len(ladder.groups) if key is None else list(jax.random.split(key, len(ladder.groups)))
        s = ladder.groups[0].merge(ladder.start(), z[None])
        for group, each in zip(ladder.groups[1:], keys[1:], strict=True):
            p = Normal(*group.prior(s))
            s = group.merge(s, p.mu if each is None else p.draw(each))
        own, emitted = params["likelihood"], ladder.emit(s)[0]
        return likelihood.mean(own, emitted) if keys[0] is None else likelihood.draw(own, keys[0], emitted)

    def reconstruct(params: dict[str, Any], key: Key[Array, ""], x: Event, beta: Scalar) -> tuple[Scalar, Event]:
        own, (groups, emitted) = params["likelihood"], infer(params, key, x)
        rate = sum(jnp.maximum(group.q.kl(group.p), free_nats) for group in groups)
        return beta * rate - likelihood.log_prob(own, emitted, x), likelihood.mean(own, emitted)

    return reconstructing(init, encode, decode, reconstruct, posterior=posterior, draw=draw)
