"""The abstractions: an SDE, one whose p(x_t | x_0) is known, and the linear one, which is all alpha(t) and sigma(t).

Time runs from t = 0 (data) to t = 1 (prior). Everything here takes one example `x` and a scalar `t`; batch with `jax.vmap`.

Start from what noise does to an example, x_t = alpha_t x_0 + sigma_t z with z ~ N(0, I), and look for an SDE dx = f x dt + g dw
that has this law at every t. Mean and variance of a linear SDE obey m' = f m and V' = 2 f V + g^2 (Särkkä & Solin 2019, eqs.
5.50 and 5.51). Put m = alpha x_0 and V = sigma^2. The first gives the drift, and the second the diffusion:

    f = (log alpha)',        g^2 = (sigma^2)' - 2 f sigma^2 = -sigma^2 lambda',        lambda = log(alpha^2 / sigma^2)

(Kingma et al. 2021, eq. 20, at any alpha). So alpha and sigma have an SDE if and only if lambda, the log-SNR, decreases. From s
to t > s the drift takes x_s along as it does the mean, and noise that is independent of x_s makes up the rest of the variance:

    x_t = alpha_ts x_s + sigma_ts z,        alpha_ts = alpha_t / alpha_s,        sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2

docs/mathematics.md goes on from here to the posterior, the losses, the bound, the flow and its solvers.

alpha(t) and sigma(t) are numbers, or arrays that broadcast to the event: one for each coordinate, channel or frequency. All
formulas are elementwise, and a density or a loss is the sum over coordinates. `level(t)` is then the one number that orders
times.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

Scalar = Float[Array, ""] | float
Positive = Annotated[Scalar, Gt(0)]
NonNegative = Annotated[Scalar, Ge(0)]
UnitInterval = Annotated[Scalar, Ge(0), Le(1)]
Count = Annotated[int, Ge(1), Le(1_000_000)]
Event = Float[Array, "*event"]
Diagonal = Float[Array, "..."] | float
"""A diagonal matrix that acts on events: a number, or an array that broadcasts to the event without a change of its shape."""
Score = Callable[[Event, Scalar], Event]
"""score(x, t) = grad_x log p_t(x): the one currency between networks, samplers and likelihoods."""


class SDE(abc.ABC):
    """A diffusion dx = f(x, t) dt + g(t) dw on t in [0, 1] that carries data into a tractable prior.

    Required: `drift`, `diffusion`, `prior_sample`, `prior_log_prob`.
    Optional: `t_min`, `prior_mean`.
    Defined in terms of the above: `reverse_drift`, and the scale of the noise, `sigma`, `level` and `noise_level`.
    """

    @property
    def t_min(self) -> float:
        """The default time at which grids, time samplers and likelihoods stop short of the data."""
        return 1e-5

    @property
    def prior_mean(self) -> Diagonal:
        """Mean of x_1. Of a LinearSDE zero is exact as alpha(1) -> 0; if alpha(1) = 1 (VE) the mean of the data is closer."""
        return 0.0

    @abc.abstractmethod
    def drift(self, x: Event, t: Scalar) -> Event:
        """f(x, t)."""

    @abc.abstractmethod
    def diffusion(self, t: Scalar) -> Diagonal:
        """g(t)."""

    @abc.abstractmethod
    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """x_1 ~ p_1, of event shape `shape`."""

    @abc.abstractmethod
    def prior_log_prob(self, x: Event) -> Scalar:
        """log p_1(x) in nats, summed over the event."""

    def reverse_drift(self, score: Score, eta: Scalar = 1.0) -> Score:
        """f(x, t) - (1 + eta^2)/2 g(t)^2 score(x, t).

        With noise eta g(t) dw run backwards in time, every eta has the marginals of the forward process: eta = 1 is Anderson's
        reverse SDE (Song et al. 2021, eq. 6), eta = 0 the probability-flow ODE (eq. 13).
        """
        return lambda x, t: self.drift(x, t) - (1 + eta**2) / 2 * self.diffusion(t) ** 2 * score(x, t)

    def sigma(self, t: Scalar) -> Diagonal:
        """sqrt(int_0^t g(u)^2 du), the standard deviation of the noise that has entered, by Gauss's quadrature at 16 times.

        As t -> 0 it is that of x_t given x_0, whatever the drift, and the score grows as its inverse.
        """
        u, weight = map(jnp.asarray, np.polynomial.legendre.leggauss(16))
        return jnp.sqrt(t / 2 * jnp.tensordot(weight, jax.vmap(self.diffusion)(t * (u + 1) / 2) ** 2, 1))

    def level(self, t: Scalar) -> Scalar:
        """-2 log sigma(t), its mean over coordinates, which orders times."""
        return coordinate_mean(-2 * jnp.log(self.sigma(t)))

    def noise_level(self, t: Scalar) -> Scalar:
        """e^(-level(t)/2)."""
        return jnp.exp(-self.level(t) / 2)

    def spread(self, t: Scalar, sigma_data: float = 1.0) -> Diagonal:
        """Standard deviation of x_t if that of x_0 is `sigma_data`; 1 unless the SDE tells more."""
        return 1.0

    @property
    def noise_mask(self) -> Diagonal:
        """1 for coordinates that noise enters, and 0 for those that it reaches by the drift, whose score nothing asks for."""
        return 1.0


class GaussianSDE(SDE):
    """An SDE with a Gaussian p(x_t | x_0) that is known: x_t = a + sigma(t) z, z ~ N(0, I), coordinate by coordinate.

    Required: `perturb`, `sigma`, `signal`, and `level`, strictly decreasing.
    Optional: `t_min`, `prior_mean`, `noise_mask`, and `time_at` if it has a closed form.
    Defined in terms of the above: `spread`, `time_at`.
    """

    @abc.abstractmethod
    def perturb(self, x_0: Event, z: Event, t: Scalar) -> Event:
        """x_t, distributed as p(x_t | x_0) when z ~ N(0, I)."""

    @abc.abstractmethod
    def sigma(self, t: Scalar) -> Diagonal:
        """sigma(t) > 0: standard deviation of the noise. Write it with expm1: 1 - exp(..) is 2 % off at t = 1e-5."""

    @abc.abstractmethod
    def signal(self, t: Scalar, sigma_data: float = 1.0) -> Diagonal:
        """Standard deviation of a, of data with that of `sigma_data`."""

    @abc.abstractmethod
    def level(self, t: Scalar) -> Scalar:
        """The log-SNR, or its mean over coordinates: one number that orders times."""

    @abc.abstractmethod
    def prior_kl(self, x_0: Event) -> Scalar:
        """KL(p(x_1 | x_0) || p_1) in nats, summed over the event."""

    def spread(self, t: Scalar, sigma_data: float = 1.0) -> Diagonal:
        """Standard deviation of x_t, sqrt(signal(t)^2 + sigma(t)^2)."""
        return jnp.hypot(self.signal(t, sigma_data), self.sigma(t))

    def time_at(self, log_snr: Scalar) -> Scalar:
        """The t in [0, 1] with level(t) = log_snr."""
        return inverse(self.level, log_snr)


class LinearSDE(GaussianSDE):
    """An SDE with p(x_t | x_0) = N(alpha(t) x_0, sigma(t)^2 I), or diag sigma(t)^2 if sigma(t) is an array.

    Required: `alpha`, `sigma`, with the log-SNR lambda(t) = log(alpha^2 / sigma^2) strictly decreasing, in every coordinate.
    Optional: `t_min`, `prior_mean`, and `time_at` if it has a closed form.
    Defined in terms of the above: everything else, as this file begins.

    A new SDE is a `flax.struct.dataclass` with these two methods. All of it holds for t in [t_min, 1]; `perturb` and
    `posterior` also at s = 0. Outside nothing is promised, and nothing is checked, since traced code cannot raise: grids, draws
    of t and likelihoods stay inside by their own ends.
    """

    @abc.abstractmethod
    def alpha(self, t: Scalar) -> Diagonal:
        """alpha(t) > 0: what is left of the data."""

    def signal(self, t: Scalar, sigma_data: float = 1.0) -> Diagonal:
        """alpha(t) sigma_data."""
        return self.alpha(t) * sigma_data

    def log_snr(self, t: Scalar) -> Diagonal:
        """lambda(t) = log(alpha(t)^2 / sigma(t)^2)."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def level(self, t: Scalar) -> Scalar:
        """The mean of lambda(t) over coordinates, which orders times: lambda(t) itself if it is a number."""
        return coordinate_mean(self.log_snr(t))

    def noise_level(self, t: Scalar) -> Scalar:
        """sigma(t)/alpha(t), or e^(-level(t)/2), its geometric mean over coordinates, if that is an array."""
        ratio = self.sigma(t) / self.alpha(t)
        return jnp.exp(-self.level(t) / 2) if jnp.ndim(ratio) else ratio

    def spread(self, t: Scalar, sigma_data: float = 1.0) -> Diagonal:
        """Standard deviation of x_t, sqrt(alpha(t)^2 sigma_data^2 + sigma(t)^2)."""
        return jnp.hypot(self.alpha(t) * sigma_data, self.sigma(t))

    def drift(self, x: Event, t: Scalar) -> Event:
        """f(x, t) = (log alpha)'(t) x."""
        return derivative(lambda t: jnp.log(self.alpha(t)), t) * x

    def diffusion(self, t: Scalar) -> Diagonal:
        """g(t) = sigma(t) sqrt(-lambda'(t))."""
        return self.sigma(t) * jnp.sqrt(-derivative(self.log_snr, t))

    def perturb(self, x_0: Event, z: Event, t: Scalar) -> Event:
        """x_t = alpha(t) x_0 + sigma(t) z, distributed as p(x_t | x_0) when z ~ N(0, I)."""
        return self.alpha(t) * x_0 + self.sigma(t) * z

    def denoise(self, score: Score, x_t: Event, t: Scalar) -> Event:
        """Tweedie's formula: E[x_0 | x_t] = (x_t + sigma(t)^2 score(x_t, t)) / alpha(t)."""
        return (x_t + self.sigma(t) ** 2 * score(x_t, t)) / self.alpha(t)

    def transition(self, t: Scalar, s: Scalar) -> tuple[Diagonal, Diagonal]:
        """(alpha_ts, sigma_ts) of p(x_t | x_s) = N(alpha_ts x_s, sigma_ts^2 I), forward from s to t > s.

        alpha_ts = alpha_t / alpha_s, sigma_ts^2 = sigma_t^2 (1 - e^(lambda_t - lambda_s)), where no digits are lost as s -> t.
        """
        return self.alpha(t) / self.alpha(s), self.sigma(t) * jnp.sqrt(-jnp.expm1(self.log_snr(t) - self.log_snr(s)))

    def posterior(self, x_t: Event, x_0: Event, t: Scalar, s: Scalar) -> tuple[Event, Diagonal]:
        """Mean and standard deviation of q(x_s | x_t, x_0), from t to s < t.

        With r = e^(lambda_t - lambda_s), the mean is (alpha_s / alpha_t) r x_t + alpha_s (1 - r) x_0 and the variance
        sigma_s^2 (1 - r): Ho et al. (2020), eqs. 6-7 on VP, Song et al. (2021), eq. 47's q on VE, and it exists for every alpha
        and sigma. At s = 0 with sigma_0 = 0 it is x_0 itself.
        """
        log_r = self.log_snr(t) - self.log_snr(s)
        alpha_s = self.alpha(s)
        mean = alpha_s / self.alpha(t) * jnp.exp(log_r) * x_t - alpha_s * jnp.expm1(log_r) * x_0
        return mean, self.sigma(s) * jnp.sqrt(-jnp.expm1(log_r))

    def prior_sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """x_1 ~ N(prior_mean, sigma(1)^2 I)."""
        return self.prior_mean + self.sigma(1.0) * jax.random.normal(key, shape)

    def prior_log_prob(self, x: Event) -> Scalar:
        """log N(x; prior_mean, sigma(1)^2 I)."""
        return norm.logpdf(x, self.prior_mean, self.sigma(1.0)).sum()

    def prior_kl(self, x_0: Event) -> Scalar:
        """|alpha(1) x_0 - prior_mean|^2 / (2 sigma(1)^2)."""
        c, v = factors(2 * self.sigma(1.0) ** 2)
        return jnp.sum((self.alpha(1.0) * x_0 - self.prior_mean) ** 2 / v) / c


def derivative(h: Callable[[Scalar], Diagonal], t: Scalar) -> Diagonal:
    """h'(t), of the shape of h(t): backwards through a number, as `jax.grad` goes, and forwards through an array."""
    value, pull = jax.vjp(h, t)
    return pull(jnp.ones_like(value))[0] if jnp.ndim(value) == 0 else jax.jvp(h, (t,), (jnp.ones_like(t),))[1]


def inverse(f: Callable[[Scalar], Scalar], y: Scalar) -> Scalar:
    """The t in [0, 1] with f(t) = y of a decreasing f, by bisection: 60 halvings reach float32's resolution at any t."""

    def halve(bracket, _):
        low, high = bracket
        middle = (low + high) / 2
        too_early = f(middle) > y
        return (jnp.where(too_early, middle, low), jnp.where(too_early, high, middle)), None

    (low, high), _ = jax.lax.scan(halve, (jnp.zeros_like(y), jnp.ones_like(y)), length=60)
    return (low + high) / 2


def coordinate_mean(values: Diagonal) -> Scalar:
    """The mean over coordinates; a number, which is the same for all, is its own."""
    return jnp.mean(values) if jnp.ndim(values) else values


def factors(weight: Diagonal) -> tuple[Scalar, Diagonal]:
    """Returns (c, w) of a weighted sum c sum_i w_i e_i, with c w = `weight`: a number is all c, and an array is all w."""
    return (1.0, weight) if jnp.ndim(weight) else (weight, 1.0)


def coordinates(sde: LinearSDE) -> tuple[int, ...]:
    """Returns the shape of lambda(t): () if it is a number, the same for all coordinates."""
    return jax.eval_shape(sde.log_snr, 1.0).shape


def isotropic(sde: LinearSDE, asker: str, instead: str) -> LinearSDE:
    """Returns `sde` if its lambda(t) is a number; otherwise raises a TypeError that names the asker and an alternative."""
    if coordinates(sde) == ():
        return sde
    raise TypeError(f"{asker} needs one log-SNR for all coordinates, and {type(sde).__name__} has an array of them; {instead}")


def linear(sde: SDE, asker: str, instead: str) -> LinearSDE:
    """Returns `sde` if it has alpha and sigma; otherwise raises a TypeError that names the asker and an alternative."""
    if isinstance(sde, LinearSDE):
        return sde
    raise TypeError(f"{asker} needs alpha(t) and sigma(t), and {type(sde).__name__} is not a LinearSDE; {instead}")


def gaussian(sde: SDE, asker: str, instead: str) -> GaussianSDE:
    """Returns `sde` if its p(x_t | x_0) is known; otherwise raises a TypeError that names the asker and an alternative."""
    return sde if isinstance(sde, GaussianSDE) else linear(sde, asker, instead)
