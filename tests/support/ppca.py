"""Probabilistic PCA (Tipping & Bishop 1999), x = W z + mean + sqrt(psi) n: in closed form, and as a linear VAE of ours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from models import Codec, Perceptron, gaussian, vae

Gaussian = tuple[np.ndarray, np.ndarray]
"""A mean and a covariance."""


@dataclass(frozen=True)
class PPCA:
    """`W` [D, d], `mean` [D] and `psi`; z ~ N(0, I)."""

    W: np.ndarray
    mean: np.ndarray
    psi: float

    @property
    def codec(self) -> Codec:
        """The linear VAE of these sizes."""
        D, d = self.W.shape
        return vae(linear(2 * d), linear(D), gaussian())

    def params(self) -> dict:
        """Its parameters at the most likely decoder and the best diagonal q, whose precision is that of the posterior."""
        V, precision = np.linalg.solve(self.M, self.W.T), np.diag(self.M) / self.psi
        return {
            "encoder": layer(np.concatenate([V.T, 0 * V.T], 1), np.concatenate([-V @ self.mean, -np.log(precision)])),
            "decoder": layer(self.W.T, self.mean),
            "likelihood": jnp.float32(np.log(self.psi) / 2),
        }

    @property
    def M(self) -> np.ndarray:
        """W^T W + psi I."""
        return self.W.T @ self.W + self.psi * np.eye(self.W.shape[1])

    def posterior(self, x: np.ndarray) -> Gaussian:
        """p(z | x) = N(M^-1 W^T (x - mean), psi M^-1)."""
        return np.linalg.solve(self.M, self.W.T @ (x - self.mean)), self.psi * np.linalg.inv(self.M)

    def q(self, x: np.ndarray) -> Gaussian:
        """The diagonal q of `params`."""
        return self.posterior(x)[0], np.diag(self.psi / np.diag(self.M))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log N(x; mean, W W^T + psi I)."""
        return multivariate_normal(self.mean, self.W @ self.W.T + self.psi * np.eye(len(self.mean))).logpdf(x)

    def sample(self, n: int) -> np.ndarray:
        """x [n, D]."""
        rng = np.random.default_rng(0)
        z, noise = rng.standard_normal((n, self.W.shape[1])), rng.standard_normal((n, len(self.mean)))
        return z @ self.W.T + self.mean + self.psi**0.5 * noise


def linear(size: int):
    """A linear network that emits `size` numbers."""
    return partial(Perceptron, emitted=(size,), depth=0)


def layer(kernel: np.ndarray, bias: np.ndarray) -> dict:
    """The parameters of a linear network."""
    return {"last": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}}


MEAN = np.array([0.4, -0.2, 1.0])
DIAGONAL = PPCA(np.array([[1.2, 0.3], [-0.8, 0.6], [0.5, 0.24]]), MEAN, 0.3)
"""Its posterior is diagonal: the columns of W are orthogonal."""
CORRELATED = PPCA(np.array([[1.2, 0.7], [-0.8, 0.1], [0.5, 0.9]]), MEAN, 0.3)


def kl(a: Gaussian, b: Gaussian) -> float:
    """KL(N(a) || N(b)) = (tr C_b^-1 C_a + |m_a - m_b|^2_(C_b^-1) - d + log |C_b| - log |C_a|)/2."""
    (m_a, C_a), (m_b, C_b) = a, b
    P, logdet = np.linalg.inv(C_b), lambda C: np.linalg.slogdet(C)[1]
    return (np.trace(P @ C_a) + (m_a - m_b) @ P @ (m_a - m_b) - len(m_a) + logdet(C_b) - logdet(C_a)) / 2
