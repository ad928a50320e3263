"""Data whose score, density and samples are exact under every linear SDE: mixtures of isotropic Gaussians, any Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from sde_lib import LinearSDE


@dataclass(frozen=True)
class Mixture:
    """sum_k weights[k] N(means[k], std^2 I); one component is a Gaussian."""

    means: jax.Array
    std: float
    weights: jax.Array

    def log_prob(self, sde: LinearSDE, x: jax.Array, t: float) -> jax.Array:
        """log p_t(x) = log sum_k w_k N(x; alpha m_k, (alpha^2 std^2 + sigma^2) I)."""
        variance = (sde.alpha(t) * self.std) ** 2 + sde.sigma(t) ** 2
        squared = jnp.sum((x - sde.alpha(t) * self.means) ** 2, axis=-1)
        return logsumexp(-squared / (2 * variance), b=self.weights) - x.size / 2 * jnp.log(2 * jnp.pi * variance)

    def score(self, sde: LinearSDE):
        """grad_x log p_t(x)."""
        return lambda x, t: jax.grad(lambda x: self.log_prob(sde, x, t))(x)

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw of x_0."""
        which, noise = jax.random.split(key)
        mean = self.means[jax.random.choice(which, len(self.weights), p=self.weights)]
        return mean + self.std * jax.random.normal(noise, mean.shape)


@dataclass(frozen=True)
class Normal:
    """N(mean [d], covariance [d, d])."""

    mean: jax.Array
    covariance: jax.Array

    def score(self, sde: LinearSDE):
        """-(alpha^2 C + sigma^2 I)^-1 (x - alpha m)."""
        I = jnp.eye(len(self.mean))
        return lambda x, t: (
            -jnp.linalg.solve(sde.alpha(t) ** 2 * self.covariance + sde.sigma(t) ** 2 * I, x - sde.alpha(t) * self.mean)
        )

    def given(self, A: jax.Array, y: jax.Array, std: float) -> Normal:
        """The law of x given y = A x + std n: K = C A^T (A C A^T + std^2 I)^+, N(m + K (y - A m), C - K A C)."""
        K = self.covariance @ A.T @ jnp.linalg.pinv(A @ self.covariance @ A.T + std**2 * jnp.eye(len(A)), hermitian=True)
        return Normal(self.mean + K @ (y - A @ self.mean), self.covariance - K @ A @ self.covariance)


GAUSSIAN = Mixture(jnp.array([[0.5, -1.0]]), 0.7, jnp.ones(1))
MIXTURE = Mixture(jnp.array([[-1.0, 0.0], [1.0, 0.5]]), 0.25, jnp.array([0.3, 0.7]))
