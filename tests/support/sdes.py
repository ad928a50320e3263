"""Every SDE that is exported, by its kind, and users'."""

import flax.struct
import jax.numpy as jnp
import numpy as np

import sde_lib
from sde_lib.base import coordinates


@flax.struct.dataclass
class Straight(sde_lib.LinearSDE):
    """A user's SDE: the straight path x_t = (1 - 0.99 t) x_0 + t z of flow matching."""

    def alpha(self, t):
        return 1 - 0.99 * jnp.asarray(t)

    def sigma(self, t):
        return jnp.asarray(t)


@flax.struct.dataclass
class Flat(sde_lib.LinearSDE):
    """The SDE of arrays `sde`, on events that are vectors."""

    sde: sde_lib.LinearSDE

    @property
    def t_min(self):
        return self.sde.t_min

    def alpha(self, t):
        return jnp.ravel(self.sde.alpha(t))

    def sigma(self, t):
        return self.sde.sigma(t)


@flax.struct.dataclass
class Integrator(sde_lib.AugmentedSDE):
    """A user's augmented SDE by its two matrices alone, of three variables: dx = v dt, dv = w dt, dw = g dB.

    The covariance is A A^T, and L^T is the triangle of A^T = Q L^T.
    """

    g: float = 300.0
    start: float = 0.5

    def mean_factor(self, t):
        return jnp.array([[1.0, t, t**2 / 2], [0.0, 1.0, t], [0.0, 0.0, 1.0]])

    def noise_factor(self, t):
        hilbert = jnp.linalg.cholesky(jnp.array([[1 / 20, 1 / 8, 1 / 6], [1 / 8, 1 / 3, 1 / 2], [1 / 6, 1 / 2, 1.0]]))
        noise = self.g * jnp.asarray(t) ** jnp.array([2.5, 1.5, 0.5])[:, None] * hilbert
        A = jnp.concatenate([self.mean_factor(t) @ jnp.diag(jnp.array([0.0, self.start, self.start])), noise], axis=1)
        triangle = jnp.linalg.qr(A.T)[1]
        return triangle.T * jnp.where(jnp.diag(triangle) < 0, -1.0, 1.0)

    @property
    def t_min(self):
        return 1e-3


@flax.struct.dataclass
class Plain(sde_lib.SDE):
    """A linear SDE that has forgotten its alpha and sigma."""

    sde: sde_lib.LinearSDE

    def drift(self, x, t):
        return self.sde.drift(x, t)

    def diffusion(self, t):
        return self.sde.diffusion(t)

    def prior_sample(self, key, shape):
        return self.sde.prior_sample(key, shape)

    def prior_log_prob(self, x):
        return self.sde.prior_log_prob(x)


def exported(d: int = 2) -> dict:
    """Every SDE that configs name, at its defaults; naming one enrols it here. Those of arrays are for `d` numbers."""
    up = np.linspace(0.0, 1.0, d)
    # VDM's own end at -5 is where the flow bends already: a cold start's first step, of order 1, would hide every order.
    options = {
        "LogLinearVPSDE": {"log_snr_min": -10.0},
        "LearnedVPSDE": {"log_snr_min": -10.0},
        "BlurringSDE": {"sides": (d,), "blur_max": 1.0},
        "PolynomialVPSDE": {
            "log_snr_max": tuple((12 - 3 * up).tolist()),
            "log_snr_min": tuple((-10 - up).tolist()),
            "a": tuple((0.5 * up).tolist()),
            "b": tuple((up - 0.3).tolist()),
            "c": tuple((1 - 0.7 * up).tolist()),
        },
    }
    made = {part.__name__: part(**options.get(part.__name__, {})) for part in sde_lib.SDES}
    flat = lambda sde: Flat(sde) if isinstance(sde, sde_lib.LinearSDE) and len(coordinates(sde)) > 1 else sde
    return {name: flat(sde) for name, sde in made.items()} | {"Straight": Straight(), "Plain": Plain(sde_lib.VPSDE())}


def linear(sdes: dict) -> dict:
    """Those that have alpha and sigma."""
    return {name: sde for name, sde in sdes.items() if isinstance(sde, sde_lib.LinearSDE)}


SDES = linear(exported())
ISOTROPIC = {name: sde for name, sde in SDES.items() if not coordinates(sde)}
"""Those whose coordinates are all alike."""
ARRAYS = tuple(name for name in SDES if name not in ISOTROPIC)
"""The names of the others."""
AUGMENTED = {name: sde for name, sde in exported().items() if isinstance(sde, sde_lib.AugmentedSDE)}
"""Those with variables beside the data."""
NONLINEAR = {name: sde for name, sde in exported().items() if name not in SDES | AUGMENTED}
"""Those of drift and diffusion alone."""

KIN = ("SubVPSDE", "CosineVPSDE", "GeometricVPSDE", "LogLinearVPSDE", "RectifiedFlowSDE", "ddpm_table", "EDMSDE")
KIN += ("LearnedVPSDE", *ARRAYS)
"""They differ from VPSDE, or the seventh from VESDE, by their schedules alone: where each takes seconds, these are slow."""
