"""Every SDE that is exported, and a user's."""

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


def exported(d: int = 2) -> dict:
    """Every SDE that sde_lib exports, at its defaults; exporting one enrols it here. Those of arrays are for `d` numbers."""
    up = np.linspace(0.0, 1.0, d)
    # VDM's own end at -5 is where the flow bends already: a cold start's first step, of order 1, would hide every order.
    options = {
        "LogLinearVPSDE": {"log_snr_min": -10.0},
        "BlurringSDE": {"sides": (d,), "blur_max": 1.0},
        "PolynomialVPSDE": {
            "log_snr_max": tuple((12 - 3 * up).tolist()),
            "log_snr_min": tuple((-10 - up).tolist()),
            "a": tuple((0.5 * up).tolist()),
            "b": tuple((up - 0.3).tolist()),
            "c": tuple((1 - 0.7 * up).tolist()),
        },
    }
    made = {}
    for name in sde_lib.__all__:
        part = getattr(sde_lib, name)
        if name not in ("SDE", "LinearSDE", "Score", "check", "TableVPSDE"):
            sde = part(**options.get(name, {}))
            made[name] = Flat(sde) if len(coordinates(sde)) > 1 else sde
    return made | {"Straight": Straight()}


SDES = exported()
ISOTROPIC = {name: sde for name, sde in SDES.items() if not coordinates(sde)}
"""Those whose coordinates are all alike."""
ARRAYS = tuple(name for name in SDES if name not in ISOTROPIC)
"""The names of the others."""

KIN = ("SubVPSDE", "CosineVPSDE", "GeometricVPSDE", "LogLinearVPSDE", "RectifiedFlowSDE", "ddpm_table", "EDMSDE", *ARRAYS)
"""They differ from VPSDE, or the seventh from VESDE, by their schedules alone: where each takes seconds, these are slow."""
