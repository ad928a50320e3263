"""The closed form of a diffusion autoencoder (Preechakul et al. 2022), on Gaussian data with the exact conditional score.

x = A f + noise, f ~ N(0, I); the semantic code is the posterior mean y = E[f | x], and x_1 the latent of the flow given y.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Normal

from samplers import decode, encode, slerp
from sde_lib import VPSDE

A = np.array([[1.0], [0.6], [-0.4]])
C = A @ A.T + 0.3 * np.eye(3)
K = A.T @ np.linalg.inv(C)
"""y = K x."""
DATA = Normal(jnp.zeros(3), jnp.asarray(C, jnp.float32))
SDE, T_MIN = VPSDE(), 1e-3
SOLVER = {"t_min": T_MIN, "rtol": 1e-6, "atol": 1e-6}
X_A, X_B = jnp.array([0.9, -0.2, 0.4]), jnp.array([-1.2, 0.3, 0.8])


def score_given(y):
    """That of x_t given the code."""
    return DATA.given(jnp.asarray(K, jnp.float32), y, 0.0).score(SDE)


@jax.jit
def autoencoded(x):
    """(y, x_1) of x."""
    y = jnp.asarray(K, jnp.float32) @ x
    return y, encode(SDE, score_given(y), x, **SOLVER).latent


decoded = jax.jit(lambda y, x_1: decode(SDE, score_given(y), x_1, **SOLVER))


@pytest.mark.slow
def test_code_and_latent_give_x_back():
    for x in (X_A, X_B):
        np.testing.assert_allclose(decoded(*autoencoded(x)), x, atol=2e-3)


@pytest.mark.slow
def test_a_new_latent_leaves_the_conditional_variance():
    """x is affine in x_1 ~ N(0, I), and at t_min of covariance alpha^2 Cov(x | y) + sigma^2 I, which varies no code."""
    y, _ = autoencoded(X_A)
    at_zero = decoded(y, jnp.zeros(3))
    J = np.stack([decoded(y, e) - at_zero for e in jnp.eye(3)], axis=1)
    conditional = C - C @ K.T @ np.linalg.inv(K @ C @ K.T) @ K @ C
    alpha, sigma = float(SDE.alpha(T_MIN)), float(SDE.sigma(T_MIN))
    np.testing.assert_allclose(J @ J.T, alpha**2 * conditional + sigma**2 * np.eye(3), atol=2e-3)
    np.testing.assert_allclose(at_zero, alpha * C @ K.T @ np.linalg.inv(K @ C @ K.T) @ y, atol=1e-2)
    np.testing.assert_allclose(K @ J @ J.T @ K.T, sigma**2 * K @ K.T, atol=1e-3)
    assert np.trace(conditional) < 0.5 * np.trace(C)


def test_between_two_examples_the_code_moves_straight():
    """From (1 - w) y_a + w y_b and the arc between the latents comes an x of that code; at the ends the examples."""
    (y_a, x_a), (y_b, x_b) = autoencoded(X_A), autoencoded(X_B)
    between = lambda w: decoded((1 - w) * y_a + w * y_b, slerp(x_a, x_b, w))
    ends = jnp.stack([between(0.0), between(1.0)])
    np.testing.assert_allclose(ends, jnp.stack([X_A, X_B]), atol=2e-3)
    for w in (0.25, 0.6):
        x = between(w)
        noise = 4.5 * float(SDE.sigma(T_MIN)) * np.linalg.norm(K)
        np.testing.assert_allclose(K @ x, (1 - w) * y_a + w * y_b, atol=noise)
