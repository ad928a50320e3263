"""Every isotropic SDE of the fixture as one, so that a program compiled once serves them all."""

from __future__ import annotations

import jax.numpy as jnp
from sdes import ISOTROPIC

from sde_lib import LinearSDE
from sde_lib.one_of import OneOf


def traced(sde: LinearSDE) -> LinearSDE:
    """`sde` of the fixture as an argument of a compiled function; one of arrays is its own."""
    which = next((i for i, other in enumerate(ISOTROPIC.values()) if other is sde), None)
    return sde if which is None else OneOf(jnp.array(which), tuple(ISOTROPIC.values()))
