"""SDEs with variables beside the data, such as a velocity: noise enters the last of them, and the data only by the drift."""

from __future__ import annotations

import abc
from typing import Annotated

import flax.struct
import jax
import jax.numpy as jnp
from annotated_types import Gt, Le
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from sde_lib.base import Diagonal, Event, GaussianSDE, Positive, Scalar, derivative

Matrix = Float[Array, "k k"]


class AugmentedSDE(GaussianSDE):
    """A linear SDE of k variables in the place of each number of the data, which is the first of them.

    An event is x [*event, k], with the data in x[..., 0]. The other variables, the auxiliary ones, begin independent and
    normal, and x_t is conditioned on the data alone: for each number of it, as u_0 = (x_0, 0, ..., 0),

        p(x_t | x_0) = N(P(t) u_0, L(t) L(t)^T)

    so that `losses.dsm` here is hybrid score matching (Dockhorn et al. 2022, sec. 3.2). Noise enters the last variable alone.
    So nothing asks for the score of the others, and that of the last is -z_k/sigma_k, with z = L^-1 (x_t - P u_0) and
    sigma = diag L.

    Required: `mean_factor` P, and `noise_factor` L, lower triangular, with `level` strictly decreasing.
    Optional: `t_min`, `time_at`, and, for `samplers.sscs`, reverse_transition(t, s).
    Defined in terms of the above: everything else, by

        f(x, t) = P' P^-1 x,        g(t)^2 = -sigma_k^2 k level',        level = 2/k log(|det P| / det L)

    which at k = 1 is `LinearSDE`. A new one is a `flax.struct.dataclass` with these two methods.
    """

    @abc.abstractmethod
    def mean_factor(self, t: Scalar) -> Matrix:
        """P(t), the identity at t = 0."""

    @abc.abstractmethod
    def noise_factor(self, t: Scalar) -> Matrix:
        """L(t), the Cholesky factor of the covariance; finite also at t = 0, where that is of the auxiliary variables alone."""

    @property
    def k(self) -> int:
        """The number of variables for each number of the data."""
        return jax.eval_shape(self.mean_factor, 1.0).shape[0]

    @property
    def noise_mask(self) -> Float[Array, " k"]:
        """(0, ..., 0, 1)."""
        return jnp.eye(self.k)[-1]

    @property
    def auxiliary_std(self) -> Float[Array, " k-1"]:
        """Standard deviations of the auxiliary variables at t = 0."""
        return jnp.linalg.norm(self.noise_factor(0.0)[1:], axis=1)

    def level(self, t: Scalar) -> Scalar:
        """2/k log(|det P| / det L), which falls by g^2/(k sigma_k^2)."""
        _, log_det = jnp.linalg.slogdet(self.mean_factor(t))
        return 2 / self.k * (log_det - jnp.sum(jnp.log(self.sigma(t))))

    def sigma(self, t: Scalar) -> Float[Array, " k"]:
        """diag L: the standard deviation of each variable, given x_0 and the variables before it."""
        return jnp.diag(self.noise_factor(t))

    def signal(self, t: Scalar, sigma_data: float = 1.0) -> Float[Array, " k"]:
        """sqrt(sigma_data^2 P_i1^2 + sum_{j < i} L_ij^2)."""
        others = jnp.tril(self.noise_factor(t), -1)
        return jnp.linalg.norm(jnp.column_stack([sigma_data * self.mean_factor(t)[:, 0], others]), axis=1)

    def drift(self, x: Event, t: Scalar) -> Event:
        """f(x, t) = P' P^-1 x."""
        rate = jnp.linalg.solve(self.mean_factor(t).T, jnp.transpose(derivative(self.mean_factor, t))).T
        return apply(rate, x)

    def diffusion(self, t: Scalar) -> Diagonal:
        """(0, ..., 0, g(t)), g = sigma_k sqrt(-k level')."""
        return self.noise_mask * self.sigma(t) * jnp.sqrt(-self.k * derivative(self.level, t))

    def perturb(self, x_0: Event, z: Event, t: Scalar) -> Event:
        """x_t = P (x_0, 0, ..., 0) + L z, of x_0 the data alone: z draws the auxiliary variables anew."""
        return x_0[..., :1] * self.mean_factor(t)[:, 0] + apply(self.noise_factor(t), z)

    def whiten(self, x: Event, t: Scalar) -> Event:
        """L(t)^-1 x."""
        return apply(jnp.linalg.inv(self.noise_factor(t)), x)

    def transition(self, t: Scalar, s: Scalar) -> tuple[Matrix, Matrix]:
        """(P_ts, L_ts) of p(x_t | x_s) = N(P_ts x_s, L_ts L_ts^T), forward from s to t > s.

        P_ts = P_t P_s^-1, L_ts L_ts^T = L_t L_t^T - P_ts L_s L_s^T P_ts^T: a difference, whose digits short steps lose.
        """
        mean = jnp.linalg.solve(self.mean_factor(s).T, self.mean_factor(t).T).T
        noise, earlier = self.noise_factor(t), mean @ self.noise_factor(s)
        return mean, jnp.linalg.cholesky(noise @ noise.T - earlier @ earlier.T)

    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """x_1 ~ N(0, L(1) L(1)^T)."""
        return apply(self.noise_factor(1.0), jax.random.normal(key, shape))

    def prior_log_prob(self, x: Event) -> Scalar:
        """log N(x; 0, L(1) L(1)^T)."""
        return jnp.sum(norm.logpdf(self.whiten(x, 1.0)) - jnp.log(self.sigma(1.0)))

    def prior_kl(self, x_0: Event) -> Scalar:
        """|L(1)^-1 P(1) (x_0, 0, ..., 0)|^2/2."""
        return jnp.sum(self.whiten(self.perturb(x_0, jnp.zeros_like(x_0), 1.0), 1.0) ** 2) / 2


@flax.struct.dataclass
class CLD(AugmentedSDE):
    """Critically damped Langevin diffusion: a velocity v beside each number x of the data, which noise enters,

        dx = beta v/M dt,        dv = -beta (x + Gamma v/M) dt + sqrt(2 Gamma beta) dw,        Gamma = 2 sqrt(M)

    M: the `mass`. It leaves x ~ N(0, 1), v ~ N(0, M) as they are, begins at v ~ N(0, gamma M), and at this Gamma forgets the
    data fastest without oscillation: with b = 4 beta t/Gamma,

        P = e^(-b/2) [[1 + b/2, b/Gamma], [-Gamma b/4, 1 - b/2]]

    Dockhorn, Vahdat & Kreis (2022), sec. 3 and app. B, whose constants these are.
    """

    beta: Positive = 4.0
    mass: Positive = 0.25
    gamma: Annotated[Scalar, Gt(0), Le(1)] = 0.04

    def mean_factor(self, t: Scalar) -> Matrix:
        """P(t)."""
        return self._mean(self._clock(t))

    def noise_factor(self, t: Scalar) -> Matrix:
        """L(t), of v_0 ~ N(0, gamma M)."""
        return self._cholesky(self._clock(t), self.gamma * self.mass)

    def level(self, t: Scalar) -> Scalar:
        """-b - log det L."""
        return -self._clock(t) - jnp.sum(jnp.log(self.sigma(t)))

    def drift(self, x: Event, t: Scalar) -> Event:
        """beta (v/M, -x - Gamma v/M)."""
        position, velocity = x[..., 0], x[..., 1] / self.mass
        return self.beta * jnp.stack([velocity, -position - self._friction() * velocity], axis=-1)

    def diffusion(self, t: Scalar) -> Diagonal:
        """(0, sqrt(2 Gamma beta))."""
        return self.noise_mask * jnp.sqrt(2 * self._friction() * self.beta)

    def transition(self, t: Scalar, s: Scalar) -> tuple[Matrix, Matrix]:
        """(P_ts, L_ts): what comes in the time t - s, whose digits are not lost."""
        b = self._clock(t) - self._clock(s)
        return self._mean(b), self._cholesky(b, 0.0)

    def reverse_transition(self, t: Scalar, s: Scalar) -> tuple[Matrix, Matrix]:
        """(K, C) of x_s = K x_t + C z, a step from t to s < t of the reverse SDE under the score of the prior, exactly.

        The law that the SDE leaves as it is runs backwards as it runs forwards, with velocities turned.
        """
        turn = jnp.array([1.0, -1.0])
        mean, noise = self.transition(t, s)
        return turn[:, None] * mean * turn, turn[:, None] * noise

    def _friction(self) -> Scalar:
        """Gamma = 2 sqrt(M)."""
        return 2 * jnp.sqrt(self.mass)

    def _clock(self, t: Scalar) -> Scalar:
        """b = 4 beta t/Gamma."""
        return 4 * self.beta * t / self._friction()

    def _mean(self, b: Scalar) -> Matrix:
        """P at b."""
        friction = self._friction()
        return jnp.exp(-b / 2) * jnp.array([[1 + b / 2, b / friction], [-friction * b / 4, 1 - b / 2]])

    def _cholesky(self, b: Scalar, v_0: Scalar) -> Matrix:
        """The Cholesky factor of the covariance at b that begins at diag(0, v_0).

        It is written without differences of numbers that are close: those of S_xx are 0 in float32 at t = 1e-4.
        """
        friction, decay, turned = self._friction(), jnp.exp(-b), 1 - b / 2
        xx = _three_or_more(b) + decay * (b / friction) ** 2 * v_0
        xv = decay * b * (b * friction / 4 + turned / friction * v_0)
        vv = self.mass * (decay * b * turned - jnp.expm1(-b)) + decay * turned**2 * v_0
        x = jnp.sqrt(xx)
        v_by_x = jnp.where(x > 0, xv / x, jnp.sqrt(v_0))
        return jnp.array([[x, 0.0], [v_by_x, jnp.sqrt(jnp.maximum(vv - v_by_x**2, 0.0))]])


def apply(matrix: Matrix, x: Event) -> Event:
    """The matrix times the variables of each number, in full float32: a product of matrices may be in less, on a GPU."""
    return jnp.sum(matrix * x[..., None, :], axis=-1)


def _three_or_more(b: Scalar) -> Scalar:
    """P(N >= 3) = 1 - e^-b (1 + b + b^2/2), N ~ Poisson(b): below b = 1 by its series, which keeps its digits."""
    small, series = jnp.minimum(b, 1.0), jnp.ones_like(b)
    for n in range(20, 3, -1):
        series = 1 + small / n * series
    return jnp.where(b < 1, jnp.exp(-small) * small**3 / 6 * series, -jnp.expm1(-b) - jnp.exp(-b) * b * (1 + b / 2))
