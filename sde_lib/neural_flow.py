"""A forward process that is learned, x_t = F(eps, t, x_0): the mean and the deviation of x_t bend away from a linear SDE's."""

from __future__ import annotations

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from sde_lib.base import SDE, Diagonal, Event, LinearSDE, Scalar

Bend = Callable[[Event, Scalar], tuple[Event, Event]]
"""bend(x_0, t) -> (m, r): how the mean and the log-deviation of x_t differ from those of a linear SDE."""


@flax.struct.dataclass
class NeuralFlow:
    """The forward process of NFDM around a linear SDE, with h(t) = (t - t_min)(1 - t):

        x_t = F(eps, t, x_0) = mu + std eps,        mu = alpha x_0 + h(t) m,        std = sigma e^(h(t) r)

    where (m, r) = `bend`(x_0, t) is a network of any kind; at (0, 0) it is `base`. h keeps both ends as they are, and with them
    the prior and the reconstruction. Given x_0 the flow keeps eps, and moves along

        v(x_t, t | x_0) = dF/dt at eps = (x_t - mu)/std,        grad log q(x_t | x_0) = -eps/std

    Bartosh et al. (2024, NFDM), sec. 3.
    """

    base: LinearSDE
    bend: Bend = flax.struct.field(pytree_node=False)

    def moments(self, x_0: Event, t: Scalar) -> tuple[Event, Event]:
        """(mu, std) of q(x_t | x_0)."""
        m, r = self.bend(x_0, t)
        h = (t - self.base.t_min) * (1 - t)
        return self.base.alpha(t) * x_0 + h * m, self.base.sigma(t) * jnp.exp(h * r)

    def velocity_and_score(self, x_t: Event, t: Scalar, x_0: Event) -> tuple[Event, Event]:
        """(v, grad log q) at x_t, given x_0."""
        t = jnp.asarray(t, x_0.dtype)
        (mu, std), (mu_dot, std_dot) = jax.jvp(lambda t: self.moments(x_0, t), (t,), (jnp.ones_like(t),))
        eps = (x_t - mu) / std
        return mu_dot + std_dot * eps, -eps / std


@flax.struct.dataclass
class NeuralFlowSDE(SDE):
    """The generative process of a `NeuralFlow` by x_0_hat = `predict`(x_t, t), for samplers of the reverse SDE:

        dx = (v + g^2/2 grad log q) dt + g dw,        v and grad log q given x_0_hat,        g that of the linear SDE

    `score` is grad log q given x_0_hat, so that the reverse SDE is dx = b dt + g dw with b = v - g^2/2 grad log q, which
    `losses.neural_flow` trains and bounds. The bound says nothing of v and grad log q apart. So the probability flow dx = v dt,
    and what `samplers.log_prob` gives, are another model, unless nothing bends or x_0_hat does not depend on x. Bartosh et al.
    (2024), sec. 3.
    """

    flow: NeuralFlow
    predict: Callable[[Event, Scalar], Event] = flax.struct.field(pytree_node=False)

    @property
    def t_min(self) -> float:
        """The `t_min` of the linear SDE."""
        return self.flow.base.t_min

    @property
    def prior_mean(self) -> Diagonal:
        """The `prior_mean` of the linear SDE."""
        return self.flow.base.prior_mean

    def drift(self, x: Event, t: Scalar) -> Event:
        """v + g^2/2 grad log q, given x_0_hat."""
        v, score = self.flow.velocity_and_score(x, t, self.predict(x, t))
        return v + self.diffusion(t) ** 2 / 2 * score

    def score(self, x: Event, t: Scalar) -> Event:
        """grad log q(x | x_0_hat)."""
        return self.flow.velocity_and_score(x, t, self.predict(x, t))[1]

    def diffusion(self, t: Scalar) -> Diagonal:
        """g(t) of the linear SDE."""
        return self.flow.base.diffusion(t)

    def sigma(self, t: Scalar) -> Diagonal:
        """sigma(t) of the linear SDE."""
        return self.flow.base.sigma(t)

    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """x_1 of the linear SDE's prior."""
        return self.flow.base.prior_sample(key, shape)

    def prior_log_prob(self, x: Event) -> Scalar:
        """log p_1(x) of the linear SDE's prior."""
        return self.flow.base.prior_log_prob(x)
