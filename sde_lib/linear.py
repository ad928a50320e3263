"""The linear SDEs of the literature: each is its alpha(t) and sigma(t)."""

from __future__ import annotations

import abc
import math
from typing import Annotated

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Array, Float

from sde_lib.base import Diagonal, LinearSDE, NonNegative, Positive, Scalar, UnitInterval


@flax.struct.dataclass
class _LinearBeta(LinearSDE):
    """alpha(t) = e^(-B(t)/2) with B(t) = int_0^t beta, beta(t) = beta_min + t (beta_max - beta_min)."""

    beta_min: NonNegative = 0.1
    beta_max: Positive = 20.0

    def integral(self, t: Scalar) -> Scalar:
        """B(t) = beta_min t + (beta_max - beta_min) t^2 / 2."""
        return t * (self.beta_min + t * (self.beta_max - self.beta_min) / 2)

    def time_at_integral(self, b: Scalar) -> Scalar:
        """The t with B(t) = b: the root of the quadratic, in the form that does not cancel."""
        return 2 * b / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b))

    def alpha(self, t: Scalar) -> Scalar:
        """e^(-B(t)/2)."""
        return jnp.exp(-self.integral(t) / 2)


@flax.struct.dataclass
class VPSDE(_LinearBeta):
    """Variance-preserving SDE, the limit of DDPM: alpha = e^(-B/2), sigma^2 = 1 - e^(-B).

    Song et al. (2021), eq. 32-33. `beta_min`, `beta_max`: the ends of beta(t), per unit of time (DDPM's betas times N).
    """

    def sigma(self, t: Scalar) -> Scalar:
        """sqrt(1 - e^(-B(t)))."""
        return jnp.sqrt(-jnp.expm1(-self.integral(t)))

    def time_at(self, log_snr: Scalar) -> Scalar:
        """lambda = -log(e^B - 1), so B = log(1 + e^(-lambda))."""
        return self.time_at_integral(jnp.logaddexp(0.0, -log_snr))


@flax.struct.dataclass
class SubVPSDE(_LinearBeta):
    """Sub-variance-preserving SDE: alpha = e^(-B/2), sigma = 1 - e^(-B), the square of VP's.

    Song et al. (2021), eq. 28-29.
    """

    def sigma(self, t: Scalar) -> Scalar:
        """1 - e^(-B(t))."""
        return -jnp.expm1(-self.integral(t))

    def time_at(self, log_snr: Scalar) -> Scalar:
        """lambda = -2 log(2 sinh(B/2)), so B = 2 arsinh(e^(-lambda/2) / 2)."""
        return self.time_at_integral(2 * jnp.arcsinh(jnp.exp(-log_snr / 2) / 2))


@flax.struct.dataclass
class VESDE(LinearSDE):
    """Variance-exploding SDE, the limit of NCSN: alpha = 1, sigma(t) = sigma_min (sigma_max / sigma_min)^t.

    Song et al. (2021), eq. 30-31. `sigma_max` should exceed the largest distance between two data points; `prior_mean`
    is best the mean of the data, which alpha(1) = 1 never forgets.
    """

    sigma_min: Positive = 0.01
    sigma_max: Positive = 50.0
    prior_mean: Scalar = 0.0  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]

    @property
    def t_min(self) -> float:
        """0: sigma(0) = sigma_min is the last rung of NCSN's ladder, and nothing is singular there."""
        return 0.0

    def alpha(self, t: Scalar) -> Scalar:
        """1."""
        return jnp.ones_like(t)

    def sigma(self, t: Scalar) -> Scalar:
        """sigma_min (sigma_max / sigma_min)^t."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def time_at(self, log_snr: Scalar) -> Scalar:
        """sigma = e^(-lambda/2), so t = (-lambda/2 - log sigma_min) / log(sigma_max / sigma_min)."""
        return (-log_snr / 2 - jnp.log(self.sigma_min)) / jnp.log(self.sigma_max / self.sigma_min)

    def ladder(self, n: int) -> Float[Array, " n"]:
        """NCSN's geometric ladder sigma_1 > ... > sigma_n: sigma(t) at n even times from 1 to 0 (Song & Ermon 2019, sec. 4)."""
        return jnp.asarray(jax.vmap(self.sigma)(jnp.linspace(1.0, 0.0, n)))


@flax.struct.dataclass
class EDMSDE(LinearSDE):
    """EDM's schedule, sigma(t) = t with time in units of sigma_max: alpha = 1, sigma(t) = sigma_max t, from t_min on.

    Karras et al. (2022), table 1, where alpha is s(t). It differs from `VESDE` by its clock alone. `sigma_min`: the least noise
    that is asked for, at t_min = sigma_min/sigma_max; `prior_mean` as in `VESDE`.
    """

    sigma_min: Positive = 0.002
    sigma_max: Positive = 80.0
    prior_mean: Scalar = 0.0  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]

    @property
    def t_min(self) -> float:
        """sigma_min/sigma_max."""
        return self.sigma_min / self.sigma_max  # pyright: ignore[reportReturnType]

    def alpha(self, t: Scalar) -> Scalar:
        """1."""
        return jnp.ones_like(t)

    def sigma(self, t: Scalar) -> Scalar:
        """sigma_max t."""
        return self.sigma_max * jnp.asarray(t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """sigma = e^(-lambda/2), so t = e^(-lambda/2)/sigma_max."""
        return jnp.exp(-log_snr / 2) / self.sigma_max


Margin = Annotated[Scalar, Gt(0), Lt(0.5)]


@flax.struct.dataclass
class RectifiedFlowSDE(LinearSDE):
    """The straight path of flow matching: alpha = 1 - t, but for alpha(1) = `end`, and sigma = t, from t_min = `end` on.

    Liu et al. (2023, "Flow Straight and Fast"), eq. 1; Lipman et al. (2023), eq. 20, whose time is 1 - t. At alpha = 0 the
    drift f = -(1 - end)/alpha and g^2 = 2 sigma/alpha are infinite, and x_0 does not follow from eps. So alpha is
    1 - (1 - end) t: the path stays straight, dx_t/dt = eps - (1 - end) x_0, and x_1 has a share end^2 of its variance from the
    data.
    """

    end: Margin = 1e-3

    @property
    def t_min(self) -> float:
        """`end`: as little noise as there is data at t = 1."""
        return self.end  # pyright: ignore[reportReturnType]

    def alpha(self, t: Scalar) -> Scalar:
        """1 - (1 - end) t, as the sum of 1 - t and end t, which keeps its digits as t -> 1."""
        return (1 - jnp.asarray(t)) + self.end * t

    def sigma(self, t: Scalar) -> Scalar:
        """t."""
        return jnp.asarray(t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """sigma/alpha = e^(-lambda/2) = s, so t = s / (1 + (1 - end) s)."""
        s = jnp.exp(-log_snr / 2)
        return s / (1 + (1 - self.end) * s)


class SigmoidVP(LinearSDE):
    """VP by its log-SNR: alpha^2 = sigmoid(lambda) = 1 - sigma^2.

    Required: `log_snr`, finite on [0, 1].
    """

    @abc.abstractmethod
    def log_snr(self, t: Scalar) -> Diagonal:
        """lambda(t)."""

    @property
    def t_min(self) -> float:
        """0: sigma(0)^2 = sigmoid(-lambda(0)) > 0, and nothing is singular there."""
        return 0.0

    def alpha(self, t: Scalar) -> Diagonal:
        """sqrt(sigmoid(lambda))."""
        return jnp.exp(jax.nn.log_sigmoid(self.log_snr(t)) / 2)

    def sigma(self, t: Scalar) -> Diagonal:
        """sqrt(sigmoid(-lambda))."""
        return jnp.exp(jax.nn.log_sigmoid(-self.log_snr(t)) / 2)


@flax.struct.dataclass
class LogLinearVPSDE(SigmoidVP):
    """VDM's fixed schedule: lambda(t) falls linearly from log_snr_max to log_snr_min, alpha^2 = sigmoid(lambda) = 1 - sigma^2.

    Kingma et al. (2021), sec. 3.2 and app. C, whose gamma is -lambda. Uniform t is its importance-sampled t. At the default end
    x_1 still knows 0.7 % of its variance from the data, the flow bends from the start, and multistep solvers, which start
    with a step of order 1, are of order 2.
    """

    log_snr_max: Scalar = 13.3
    log_snr_min: Scalar = -5.0

    def log_snr(self, t: Scalar) -> Scalar:
        """log_snr_max + t (log_snr_min - log_snr_max)."""
        return self.log_snr_max + t * (self.log_snr_min - self.log_snr_max)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """(lambda - log_snr_max) / (log_snr_min - log_snr_max)."""
        return (log_snr - self.log_snr_max) / (self.log_snr_min - self.log_snr_max)


Variance = Annotated[Scalar, Gt(0), Lt(1)]


@flax.struct.dataclass
class GeometricVPSDE(LinearSDE):
    """LSGM's geometric VP: sigma(t)^2 = sigma2_min (sigma2_max / sigma2_min)^t, alpha^2 = 1 - sigma^2.

    Vahdat et al. (2021), sec. 3.3, whose beta is sigma^2 log(sigma2_max / sigma2_min) / (1 - sigma^2), and whose alpha is ours
    over sqrt(1 - sigma2_min), so that alpha(0) = 1. Here N(0, I) stays N(0, I), and log(1 + SNR) = -log sigma^2 is linear in t:
    for data that is about N(0, I), uniform t is the importance-sampled one. `sigma2_min`, `sigma2_max`: the ends of sigma^2.
    """

    sigma2_min: Variance = 3e-5
    sigma2_max: Variance = 0.999

    @property
    def t_min(self) -> float:
        """0: sigma(0)^2 = sigma2_min, and nothing is singular there."""
        return 0.0

    def _log_ratio(self) -> Scalar:
        return jnp.log(self.sigma2_max / self.sigma2_min)

    def _log_sigma2(self, t: Scalar) -> Scalar:
        """log sigma^2, counted from t = 1, where 1 - sigma^2 is small."""
        return jnp.log(self.sigma2_max) - (1 - t) * self._log_ratio()

    def alpha(self, t: Scalar) -> Scalar:
        """sqrt(1 - sigma(t)^2)."""
        return jnp.sqrt(-jnp.expm1(self._log_sigma2(t)))

    def sigma(self, t: Scalar) -> Scalar:
        """sqrt(sigma2_min) (sigma2_max / sigma2_min)^(t/2)."""
        return jnp.exp(self._log_sigma2(t) / 2)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """sigma^2 = 1 / (1 + e^lambda), so 1 - t = (log sigma2_max + log(1 + e^lambda)) / log(sigma2_max / sigma2_min)."""
        return 1 - (jnp.log(self.sigma2_max) + jax.nn.softplus(log_snr)) / self._log_ratio()


@flax.struct.dataclass
class CosineVPSDE(LinearSDE):
    """Nichol & Dhariwal (2021), eq. 17: alpha = cos(phi_t) / cos(phi_0), phi_t = (u + s)/(1 + s) pi/2, sigma^2 = 1 - alpha^2.

    u = t t_end stops short of alpha = 0, where the log-SNR is infinite; t_end = 0.9946 is DPM-Solver's (Lu et al. 2022).
    sigma = sqrt(sin(phi_t - phi_0) sin(phi_t + phi_0)) / cos(phi_0) is the same without the cancellation.
    """

    s: NonNegative = 0.008
    t_end: UnitInterval = 0.9946

    def _angles(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """phi_0 and phi_t - phi_0."""
        quarter_turn = math.pi / 2 / (1 + self.s)
        return quarter_turn * self.s, quarter_turn * self.t_end * t

    def alpha(self, t: Scalar) -> Scalar:
        """cos(phi_t) / cos(phi_0)."""
        phi_0, turn = self._angles(t)
        return jnp.cos(phi_0 + turn) / jnp.cos(phi_0)

    def sigma(self, t: Scalar) -> Scalar:
        """sqrt(sin(phi_t - phi_0) sin(phi_t + phi_0)) / cos(phi_0)."""
        phi_0, turn = self._angles(t)
        return jnp.sqrt(jnp.sin(turn) * jnp.sin(turn + 2 * phi_0)) / jnp.cos(phi_0)


@flax.struct.dataclass
class TableVPSDE(LinearSDE):
    """A VP-SDE through a table: log alpha is linear between t = i/N, where it equals log_alpha[i] exactly.

    `log_alpha` [N + 1] decreases from log_alpha[0] = 0; sigma^2 = 1 - alpha^2. `ddpm_table` makes Ho et al.'s.
    """

    log_alpha: Float[Array, " N+1"]

    @property
    def t_min(self) -> float:
        """1/N, the first noise level of the table."""
        return 1 / (len(self.log_alpha) - 1)

    def _log_alpha(self, t: Scalar) -> Scalar:
        return jnp.interp(t, jnp.linspace(0.0, 1.0, len(self.log_alpha)), self.log_alpha)

    def alpha(self, t: Scalar) -> Scalar:
        """e^(log_alpha(t))."""
        return jnp.exp(self._log_alpha(t))

    def sigma(self, t: Scalar) -> Scalar:
        """sqrt(1 - alpha(t)^2)."""
        return jnp.sqrt(-jnp.expm1(2 * self._log_alpha(t)))


Beta = Annotated[float, Gt(0), Lt(1)]
Several = Annotated[int, Ge(2), Le(1_000_000)]


def ddpm_table(n: Several = 1000, beta_1: Beta = 1e-4, beta_n: Beta = 0.02, power: Positive = 1.0) -> TableVPSDE:
    """The discrete DDPM as an SDE: alpha(i/n)^2 = prod_{j <= i} (1 - beta_j), beta_j^(1/power) even from beta_1's to beta_n's.

    Ho et al. (2020), sec. 4, with power 1; Rombach et al. (2022) take 2. The products are taken in float64. With
    `losses.discrete(sde, n)` and `samplers.uniform_grid(sde, n, t_min=0)` training and ancestral sampling are DDPM's own.
    """
    beta = np.linspace(beta_1 ** (1 / power), beta_n ** (1 / power), n, dtype=np.float64) ** power
    log_alpha = np.cumsum(np.log1p(-beta)) / 2
    return TableVPSDE(jnp.asarray(np.concatenate([[0.0], log_alpha]), jnp.result_type(float)))
