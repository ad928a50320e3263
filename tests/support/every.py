"""Every SDE of the fixture as one, so that a program compiled once serves them all."""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
from sdes import SDES

from sde_lib import SDE, LinearSDE


@flax.struct.dataclass
class Every(LinearSDE):
    """The SDE number `which` of the fixture, with `which` traced."""

    which: jax.Array

    def _switch(self, method: str, argument):
        branches = [lambda a, sde=sde: jnp.asarray(getattr(sde, method)(a), float) for sde in SDES.values()]
        return jax.lax.switch(self.which, branches, jnp.asarray(argument, float))

    def alpha(self, t):
        return self._switch("alpha", t)

    def sigma(self, t):
        return self._switch("sigma", t)

    def time_at(self, log_snr):
        return self._switch("time_at", log_snr)


def traced(sde: SDE) -> Every:
    """`sde` of the fixture as an argument of a compiled function."""
    return Every(jnp.array(next(i for i, other in enumerate(SDES.values()) if other is sde)))
