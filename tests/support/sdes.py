"""Every SDE that is exported, and a user's."""

import flax.struct
import jax.numpy as jnp

import sde_lib


@flax.struct.dataclass
class Straight(sde_lib.LinearSDE):
    """A user's SDE: the straight path x_t = (1 - 0.99 t) x_0 + t z of flow matching."""

    def alpha(self, t):
        return 1 - 0.99 * jnp.asarray(t)

    def sigma(self, t):
        return jnp.asarray(t)


def exported() -> dict:
    """Every SDE that sde_lib exports, at its defaults; exporting one enrols it here."""
    made = {}
    for name in sde_lib.__all__:
        part = getattr(sde_lib, name)
        if name not in ("SDE", "LinearSDE", "Score", "check", "TableVPSDE"):
            made[name] = part()
    # VDM's own end at -5 is where the flow bends already: a cold start's first step, of order 1, would hide every order.
    wide = sde_lib.LogLinearVPSDE(log_snr_min=-10.0)
    return made | {"LogLinearVPSDE": wide, "Straight": Straight()}


SDES = exported()

KIN = ("SubVPSDE", "CosineVPSDE", "GeometricVPSDE", "LogLinearVPSDE", "RectifiedFlowSDE", "ddpm_table", "EDMSDE")
"""They differ from VPSDE, or the last from VESDE, by their schedule alone: where each takes seconds, these are slow."""
