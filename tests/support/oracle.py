"""Data whose score, density and samples are exact under every linear SDE, augmented or not: mixtures of isotropic Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from sde_lib import AugmentedSDE, LinearSDE


@dataclass(frozen=True)
class Mixture:
    """sum_k weights[k] N(means[k], std^2 I); one component is a Gaussian."""

    means: jax.Array
    std: float | jax.Array
    weights: jax.Array

    def log_prob(self, sde: LinearSDE, x: jax.Array, t: float) -> jax.Array:
        """log p_t(x) = log sum_k w_k N(x; alpha m_k, diag(alpha^2 std^2 + sigma^2))."""
        variance = jnp.broadcast_to((sde.alpha(t) * self.std) ** 2 + sde.sigma(t) ** 2, x.shape)
        squared = jnp.sum((x - sde.alpha(t) * self.means) ** 2 / variance, axis=-1)
        return logsumexp(-squared / 2, b=self.weights) - jnp.sum(jnp.log(2 * jnp.pi * variance)) / 2

    def score(self, sde: LinearSDE):
        """grad_x log p_t(x)."""
        return lambda x, t: jax.grad(lambda x: self.log_prob(sde, x, t))(x)

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw of x_0."""
        which, noise = jax.random.split(key)
        mean = self.means[jax.random.choice(which, len(self.weights), p=self.weights)]
        return mean + self.std * jax.random.normal(noise, mean.shape)


@dataclass(frozen=True)
class AugmentedMixture(Mixture):
    """The same law of the data x_0, as that of events [d, k] of an augmented SDE."""

    def moments(self, sde: AugmentedSDE, t: float) -> tuple[jax.Array, jax.Array]:
        """Means [n, d, k] of the components of p_t, and the covariance [k, k] that all numbers of all of them have."""
        P, L = sde.mean_factor(t), sde.noise_factor(t)
        return self.means[..., None] * P[:, 0], L @ L.T + self.std**2 * jnp.outer(P[:, 0], P[:, 0])

    def log_prob(self, sde: AugmentedSDE, x: jax.Array, t: float) -> jax.Array:
        """log p_t(x) = log sum_k w_k N(x; P (m_k, 0, ..), L L^T + std^2 P (1, 0, ..)(1, 0, ..)^T P^T)."""
        means, covariance = self.moments(sde, t)
        d = x - means
        squared = jnp.sum(d * (d @ jnp.linalg.inv(covariance)), axis=(1, 2))
        return logsumexp(-squared / 2, b=self.weights) - len(x) * jnp.linalg.slogdet(2 * jnp.pi * covariance)[1] / 2


@dataclass(frozen=True)
class Normal:
    """N(mean [d], covariance [d, d])."""

    mean: jax.Array
    covariance: jax.Array

    def score(self, sde: LinearSDE):
        """-(alpha C alpha + sigma^2)^-1 (x - alpha m), with alpha and sigma as diagonal matrices."""

        def score(x: jax.Array, t: float) -> jax.Array:
            alpha, sigma = (jnp.diag(jnp.broadcast_to(each, x.shape)) for each in (sde.alpha(t), sde.sigma(t)))
            return -jnp.linalg.solve(alpha @ self.covariance @ alpha + sigma**2, x - alpha @ self.mean)

        return score

    def given(self, A: jax.Array, y: jax.Array, std: float) -> Normal:
        """The law of x given y = A x + std n: K = C A^T (A C A^T + std^2 I)^+, N(m + K (y - A m), C - K A C)."""
        K = self.covariance @ A.T @ jnp.linalg.pinv(A @ self.covariance @ A.T + std**2 * jnp.eye(len(A)), hermitian=True)
        return Normal(self.mean + K @ (y - A @ self.mean), self.covariance - K @ A @ self.covariance)


GAUSSIAN = Mixture(jnp.array([[0.5, -1.0]]), 0.7, jnp.ones(1))
MIXTURE = Mixture(jnp.array([[-1.0, 0.0], [1.0, 0.5]]), 0.25, jnp.array([0.3, 0.7]))
AUGMENTED_GAUSSIAN, AUGMENTED_MIXTURE = (AugmentedMixture(*vars(law).values()) for law in (GAUSSIAN, MIXTURE))
AUGMENTED_NUMBER = AugmentedMixture(GAUSSIAN.means[:, :1], GAUSSIAN.std, GAUSSIAN.weights)
"""The first number of the Gaussian, N(0.5, 0.49)."""
