"""A draw of t that learns from past losses at which t the next ones are worth most."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Array, Bool, Float, Key

from losses.times import Times, TimeSampler, spread
from sde_lib.base import SDE, Count, GaussianSDE, Scalar


class Memory(NamedTuple):
    """The running mean of the squared loss per unit of y in each bin, and whether the bin has `seen` any loss."""

    square: Float[Array, " bins"]
    seen: Bool[Array, " bins"]


def loss_aware(
    sde: SDE,
    n_bins: Count = 64,
    decay: Annotated[Scalar, Ge(0), Lt(1)] = 0.9,
    uniform_share: Annotated[Scalar, Gt(0), Le(1)] = 0.01,
    t_min: float | None = None,
) -> TimeSampler:
    """p(t) = p_b |y'(t)| / Delta in bin b of y,  p_b = (1 - e) m_b / sum m + e / n_bins,  m_b^2 = mean of (l/|y'|)^2 in b.

    y = -level for a GaussianSDE and t otherwise, in `n_bins` bins of width Delta; e = `uniform_share`. The second moment of
    the estimate, E (l/p)^2 = int E[l^2]/p dt, is least at p ~ sqrt(E[l^2 | t]); over the p above it is
    sum_b Delta^2 m_b^2 / p_b, least at p_b ~ m_b. Each l is divided by |y'| since l dt = l/|y'| dy. 1/p(t) is exact at any
    memory, so every estimate is unbiased. Until every bin has had a loss p is uniform in y: for a GaussianSDE, `importance`.
    Each loss moves the mean of its bin by 1 - `decay`, and the losses of one batch move it together. Nichol & Dhariwal (2021),
    eq. 18, take the mean of the last ten losses of each step.

    The loss of `update` is that of one example, with its weight and without 1/p. It is ignored if it is not finite, or if its
    square is beyond float32's sums. The memory is a tree of arrays, for checkpoints.
    """
    start = sde.t_min if t_min is None else t_min
    if isinstance(sde, GaussianSDE):
        y_of, t_of = lambda t: -sde.level(t), lambda y: sde.time_at(-y)
    else:
        y_of = t_of = lambda t: t

    def bins() -> tuple[Scalar, Scalar]:
        """Returns the first edge, and Delta."""
        first, last = y_of(jnp.asarray(start)), y_of(jnp.asarray(1.0))
        return first, (last - first) / n_bins

    def slope(t: Times) -> Times:
        return jax.vmap(jax.grad(y_of))(t)

    def sample(key: Key[Array, ""], memory: Memory, n: int) -> tuple[Times, Times]:
        first, width = bins()
        p = _distribution(memory, uniform_share)
        u, ends = spread(key, n), jnp.cumsum(p)
        b = jnp.clip(jnp.searchsorted(ends, u, side="right"), 0, n_bins - 1)
        inside = jnp.clip((u - ends[b] + p[b]) / p[b], 0.0, 1.0)
        t = jnp.clip(jax.vmap(t_of)(first + (b + inside) * width), start, 1.0)
        return t, width / (p[b] * slope(t))

    def update(memory: Memory, t: Times, loss: Times) -> Memory:
        first, width = bins()
        b = jnp.clip(jnp.floor((jax.vmap(y_of)(t) - first) / width), 0, n_bins - 1).astype(int)
        square = (loss / slope(t)) ** 2
        usable = square < 1e30
        count = jnp.zeros(n_bins).at[b].add(usable.astype(float))
        batch = jnp.zeros(n_bins).at[b].add(jnp.where(usable, square, 0.0)) / jnp.maximum(count, 1.0)
        square = jnp.where(memory.seen, memory.square, batch)
        return Memory(batch + decay**count * (square - batch), memory.seen | (count > 0))

    return TimeSampler(lambda: Memory(jnp.zeros(n_bins), jnp.zeros(n_bins, bool)), sample, update)


def _distribution(memory: Memory, uniform_share: Scalar) -> Float[Array, " bins"]:
    """p_b; uniform until every bin has had a loss, and if all losses were zero."""
    m, even = jnp.sqrt(memory.square), 1 / len(memory.square)
    ready = jnp.all(memory.seen) & (m.sum() > 0)
    adapted = (1 - uniform_share) * m / jnp.where(ready, m.sum(), 1.0) + uniform_share * even
    return jnp.where(ready, adapted, even)
