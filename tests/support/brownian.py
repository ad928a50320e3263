"""Brownian motion as a reference of bridges, and the Schroedinger bridge of two centred Gaussians on it, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import flax.struct
import jax.numpy as jnp
import numpy as np

from sde_lib import LinearSDE


@flax.struct.dataclass
class Brownian(LinearSDE):
    """dx = sqrt(epsilon) dw: alpha = 1, sigma^2 = epsilon t."""

    epsilon: float = 0.5

    def alpha(self, t):
        return jnp.ones_like(t)

    def sigma(self, t):
        return jnp.sqrt(self.epsilon * t)


@dataclass(frozen=True)
class GaussianBridge:
    """The bridge of N(0, s_0^2) at t = 0 and N(0, s_1^2) at t = 1, of the least relative entropy to the Brownian motion."""

    s_0: float = 0.7
    s_1: float = 1.6
    epsilon: float = 0.5

    @property
    def coupling(self) -> float:
        """Cov(x_0, x_1) = (sqrt(4 s_0^2 s_1^2 + epsilon^2) - epsilon)/2."""
        return (np.sqrt(4 * self.s_0**2 * self.s_1**2 + self.epsilon**2) - self.epsilon) / 2

    def variance(self, t):
        """(1 - t)^2 s_0^2 + t^2 s_1^2 + t (1 - t)(2 C + epsilon): a mixture of Brownian bridges."""
        return (1 - t) ** 2 * self.s_0**2 + t**2 * self.s_1**2 + t * (1 - t) * (2 * self.coupling + self.epsilon)

    def forward(self, t):
        """The slope of the forward control: from v' = epsilon (2 forward v + 1)."""
        s_0, s_1 = self.s_0**2, self.s_1**2
        change = -2 * (1 - t) * s_0 + 2 * t * s_1 + (1 - 2 * t) * (2 * self.coupling + self.epsilon)
        return (change / self.epsilon - 1) / (2 * self.variance(t))

    def backward(self, t):
        """The slope of the backward control: the two sum to the score's, -1/v."""
        return -1 / self.variance(t) - self.forward(t)
