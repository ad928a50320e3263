"""What a user brings from a module of their own: an SDE, a network, and weights that fail at some times."""

import flax.struct
import jax
import jax.numpy as jnp
from flax import linen
from jax.scipy.stats import norm

from losses import sigma2
from models.conditions import by_name
from sde_lib import LangevinSDE, LinearSDE


@flax.struct.dataclass
class Straight(LinearSDE):
    end: float = 0.99

    def alpha(self, t):
        return 1 - self.end * jnp.asarray(t)

    def sigma(self, t):
        return jnp.asarray(t)


@flax.struct.dataclass
class DoubleWell(LangevinSDE):
    """Langevin dynamics towards an even mixture of N(-1, std^2) and N(1, std^2)."""

    std: float = 0.5

    def prior_sample(self, key, shape):
        sign, noise = jax.random.split(key)
        return jax.random.rademacher(sign, shape, float) + self.std * jax.random.normal(noise, shape)

    def prior_log_prob(self, x):
        left, right = (norm.logpdf(x, centre, self.std) for centre in (-1.0, 1.0))
        return jnp.sum(jnp.logaddexp(left, right) - jnp.log(2.0))


class Net(linen.Module):
    width: int = 8

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        h = linen.silu(linen.Dense(self.width)(x) + linen.Dense(self.width)(c_noise[:, None]))
        return linen.Dense(x.shape[-1])(h)


class Unmapped(Net):
    """A network that sends a parameter by way of the host, one at a time."""

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        shift = jax.lax.stop_gradient(self.param("shift", linen.initializers.zeros, (x.shape[-1],)))
        here = jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct(shift.shape, shift.dtype), shift)
        return super().__call__(x + here, c_noise)


class Hears(Net):
    """A network that takes the labels of an augmentation, as it says by its option."""

    augment: int = 0

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        heard = by_name(y).get("augment")
        labels = jnp.zeros((len(x), self.augment)) if heard is None else heard
        h = linen.Dense(self.width)(labels)[:, None, None]
        return linen.Dense(x.shape[-1])(linen.silu(h + linen.Dense(self.width)(x) + linen.Dense(self.width)(c_noise[0:1])))


class Mishears(Hears):
    """It adds its conditions, as if y were the label."""

    @linen.compact
    def __call__(self, x, c_noise, y=None, key=None):
        return super().__call__(x if y is None else x + y, c_noise)


def cliff(sde, t, edge=0.9):
    """nan at times above `edge`."""
    return jnp.where(t > edge, jnp.log(edge - t), 1.0) * sigma2(sde, t)


def objects_to_seed_1(moment):
    """A callback that fails for one run of several."""
    if moment.experiment.config.seed == 1:
        raise ValueError("seed 1")
