"""The adversarial term of an autoencoder: a discriminator's logits tell examples from reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import NonNegative, Scalar

Logits = Float[Array, "..."]
Examples = Float[Array, "n *event"]


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2, which trains the discriminator. Lim & Ye (2017)."""
    return (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))) / 2


def hinge_generator(fake: Logits) -> Scalar:
    """-mean fake, which trains the autoencoder. Lim & Ye (2017)."""
    return -jnp.mean(fake)


def adversarial(
    discriminator: Callable[[Any, Examples], Logits], params: Any, x: Examples, x_hat: Examples, weight: Scalar
) -> Scalar:
    """w g(x_hat) + h(x, x_hat), the loss of an autoencoder that reconstructs x as x_hat, and of a discriminator D:

        g = -mean D(x_hat) with D constant,    h = (mean max(0, 1 - D(x)) + mean max(0, 1 + D(x_hat)))/2 with x_hat constant

    So the gradient of the sum is that of each player's own loss, and one step of both is simultaneous. x and x_hat are batches
    [n, *event], and `discriminator(params, batch)` -> logits, for a norm over the batch sees all of it; `weight` is w. Esser et
    al. (2021), eqs. 5-7, with the hinge of Lim & Ye (2017).
    """
    constant = jax.lax.stop_gradient
    generator = hinge_generator(discriminator(constant(params), x_hat))
    return weight * generator + hinge_discriminator(discriminator(params, x), discriminator(params, constant(x_hat)))


def adaptive_weight(
    nll: Callable[[Any], Scalar], generator: Callable[[Any], Scalar], last: Any, scale: NonNegative = 0.5
) -> Scalar:
    """w = scale min(|grad nll| / (|grad g| + 1e-4), 1e4), the weight of the generator's loss g beside the nll.

    Both are functions of the parameters `last` of the decoder's last layer, at which the gradients are; w itself has none.
    Esser et al. (2021), eq. 7.
    """
    of_nll, of_generator = (_norm(jax.grad(loss)(last)) for loss in (nll, generator))
    return scale * jax.lax.stop_gradient(jnp.minimum(of_nll / (of_generator + 1e-4), 1e4))


def _norm(tree: Any) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
