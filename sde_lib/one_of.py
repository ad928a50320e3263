"""Several linear SDEs as one, of which a number that is traced chooses: a program that is compiled once serves them all."""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sde_lib.base import Diagonal, LinearSDE, Scalar


@flax.struct.dataclass
class OneOf(LinearSDE):
    """The SDE number `which` of `sdes`, whose alpha(t) and sigma(t) are numbers: alpha(t) = alpha_which(t), and so on.

    Of the branches of `jax.lax.switch` only the one that is chosen runs. `which` is an argument of a program, and `sdes` are
    constants of it. What an SDE writes in a form of its own beside alpha and sigma is its own here too.
    """

    which: Int[Array, ""] | int
    sdes: tuple[LinearSDE, ...] = flax.struct.field(pytree_node=False)

    def _of(self, name: str, t: Scalar) -> Scalar:
        branches = [lambda t, sde=sde: jnp.asarray(getattr(sde, name)(t), float) for sde in self.sdes]
        return jax.lax.switch(self.which, branches, jnp.asarray(t, float))

    def _value(self, name: str) -> Scalar:
        return jnp.stack([jnp.asarray(getattr(sde, name), float) for sde in self.sdes])[self.which]

    @property
    def t_min(self) -> float:
        """The chosen one's."""
        return self._value("t_min")  # pyright: ignore[reportReturnType]

    @property
    def prior_mean(self) -> Diagonal:
        """The chosen one's."""
        return self._value("prior_mean")

    def alpha(self, t: Scalar) -> Scalar:
        """alpha(t) of the chosen one."""
        return self._of("alpha", t)

    def sigma(self, t: Scalar) -> Scalar:
        """sigma(t) of the chosen one."""
        return self._of("sigma", t)

    def log_snr(self, t: Scalar) -> Scalar:
        """lambda(t) of the chosen one."""
        return self._of("log_snr", t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """The t with lambda(t) = log_snr of the chosen one."""
        return self._of("time_at", log_snr)
