"""Every isotropic SDE of the fixture as one, so that a program compiled once serves them all."""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
from sdes import ISOTROPIC

from sde_lib import LinearSDE


@flax.struct.dataclass
class Every(LinearSDE):
    """The isotropic SDE number `which` of the fixture, with `which` traced."""

    which: jax.Array

    def _switch(self, method: str, argument):
        branches = [lambda a, sde=sde: jnp.asarray(getattr(sde, method)(a), float) for sde in ISOTROPIC.values()]
        return jax.lax.switch(self.which, branches, jnp.asarray(argument, float))

    def alpha(self, t):
        return self._switch("alpha", t)

    def sigma(self, t):
        return self._switch("sigma", t)

    def time_at(self, log_snr):
        return self._switch("time_at", log_snr)


def traced(sde: LinearSDE) -> LinearSDE:
    """`sde` of the fixture as an argument of a compiled function; one of arrays is its own."""
    which = next((i for i, other in enumerate(ISOTROPIC.values()) if other is sde), None)
    return sde if which is None else Every(jnp.array(which))
