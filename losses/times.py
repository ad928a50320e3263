"""How t is drawn for a batch, with 1/p(t), so that mean(loss(t) / p(t)) estimates the integral of loss over t without bias.

Every sampler spreads one batch evenly over its distribution (Kingma et al. 2021, app. I.1): u_i = (u + i/n) mod 1 with one
uniform u, each u_i being uniform on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from sde_lib.base import SDE, Count, linear

Times = Float[Array, " n"]


class TimeSampler(NamedTuple):
    """A distribution over t, with a memory for those that adapt to the losses they have seen.

    init() -> memory;  sample(key, memory, n) -> (t [n], 1/p(t) [n]);  update(memory, t [n], loss [n]) -> memory.
    """

    init: Callable[[], Any]
    sample: Callable[[Key[Array, ""], Any, int], tuple[Times, Times]]
    update: Callable[[Any, Times, Times], Any]


def _fixed(sample: Callable[[Times], tuple[Times, Times]]) -> TimeSampler:
    """A sampler without memory from `sample(u) -> (t, 1/p(t))`, the image of uniform u."""

    def low_discrepancy(key: Key[Array, ""], memory: None, n: int) -> tuple[Times, Times]:
        return sample((jax.random.uniform(key) + jnp.arange(n) / n) % 1.0)

    return TimeSampler(init=lambda: None, sample=low_discrepancy, update=lambda memory, t, loss: memory)


def uniform(sde: SDE, t_min: float | None = None) -> TimeSampler:
    """t ~ U(t_min, 1)."""
    start = sde.t_min if t_min is None else t_min
    return _fixed(lambda u: (start + (1 - start) * u, jnp.full_like(u, 1 - start)))


def importance(sde: SDE, t_min: float | None = None) -> TimeSampler:
    """p(t) = g(t)^2 / (Z sigma(t)^2), which makes the likelihood weight constant: minimal variance where |sigma score + z| is.

    As g^2/sigma^2 = -lambda', t is uniform in log-SNR and Z = lambda(t_min) - lambda(1), for every LinearSDE.
    Song et al. (2021, "Maximum Likelihood Training"), sec. 5.1, written there for VP.
    """
    linear_sde = linear(sde, "importance", "uniform draws t for any SDE")
    start = sde.t_min if t_min is None else t_min

    def sample(u: Times) -> tuple[Times, Times]:
        cleanest, noisiest = linear_sde.log_snr(jnp.asarray(start)), linear_sde.log_snr(jnp.asarray(1.0))
        t = jnp.clip(jax.vmap(linear_sde.time_at)(cleanest + u * (noisiest - cleanest)), start, 1.0)
        return t, (cleanest - noisiest) / -jax.vmap(jax.grad(linear_sde.log_snr))(t)

    return _fixed(sample)


def discrete(sde: SDE, n: Count, t_min: float | None = None) -> TimeSampler:
    """t uniform on the n times linspace(t_min, 1, n), with the measure that gives each the weight 1/n: 1/p = 1.

    On `ddpm_table(n)` these are DDPM's i/n; on VESDE, whose t_min is 0, they are NCSN's ladder.
    """
    start = sde.t_min if t_min is None else t_min

    def sample(u: Times) -> tuple[Times, Times]:
        i = jnp.floor(u * n)
        return start + (1 - start) * i / max(n - 1, 1), jnp.ones_like(u)

    return _fixed(sample)
