"""The Schroedinger bridge of two laws, by iterative proportional fitting: one half of it is one loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss
from sde_lib.base import SDE, Count, Event, Scalar, Score, UnitInterval


def half_bridge(sde: SDE, score: Score, control: Score, start: UnitInterval = 0.0, n_steps: Count = 100) -> Loss:
    """l(x, t) = 1/D |g sqrt(h) (score + control)(x_t, t) + z|^2, where x_t is simulated from x at `start` under the control:

        x <- x + (t' - t) f(x, t) + h g(t)^2 control(x, t) + g(t) sqrt(h) z,        h = |t' - t|, in `n_steps` even steps

    and z is of the last of them, whose transition has the score -z/(g sqrt(h)). So the minimiser is grad log p_t - control,
    with p_t the law under the control: the control of the same process run the other way. Those of the Schroedinger bridge,

        dx = (f + g^2 forward) dt + g dw  from one law,        dx = (f - g^2 backward) dt + g dw  from the other, backwards,

    sum to grad log p_t. They are the limit if each is learned by the other in turn: `backward` with `start` 0 and x of the one
    law, `forward` with `start` 1 and x of the other. The first `forward` is 0, and `backward` then a score: De Bortoli et al.
    (2021), prop. 3, whose means are x + h g^2 control here; Chen et al. (2022), thm. 3. `euler_maruyama` samples by `backward`
    in the place of a score, and `heun`, `encode` and `log_prob` by backward - forward.

    Returns `loss(key, x, t)` for x of the law at `start`, any SDE, and t other than `start`.
    """

    def loss(key: Key[Array, ""], x: Event, t: Scalar) -> Scalar:
        step = (t - start) / n_steps
        h = jnp.abs(step)

        def move(x: Event, at: tuple[Array, Array]) -> tuple[Event, tuple[Event, Scalar]]:
            key, i = at
            tau = jnp.clip(start + i * step, sde.t_min, 1.0)
            z, g = jax.random.normal(key, x.shape), sde.diffusion(tau)
            drift = step * sde.drift(x, tau) + h * g**2 * control(x, tau)
            return x + drift + g * jnp.sqrt(h) * z, (z, g)

        x_t, each = jax.lax.scan(move, x, (jax.random.split(key, n_steps), jnp.arange(n_steps)))
        z, g = jax.tree.map(lambda a: a[-1], each)
        return jnp.mean((g * jnp.sqrt(h) * (score(x_t, t) + control(x_t, t)) + z) ** 2)

    return loss
