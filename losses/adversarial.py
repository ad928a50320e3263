"""The adversarial term of an autoencoder: a discriminator's logits tell examples from reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import NonNegative, Scalar

Logits = Float[Array, "..."]


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2, which trains the discriminator. Lim & Ye (2017)."""
    return (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))) / 2


def hinge_generator(fake: Logits) -> Scalar:
    """-mean fake, which trains the autoencoder. Lim & Ye (2017)."""
    return -jnp.mean(fake)


def adaptive_weight(
    nll: Callable[[Any], Scalar], generator: Callable[[Any], Scalar], last: Any, scale: NonNegative = 0.5
) -> Scalar:
    """w = scale min(|grad nll| / (|grad g| + 1e-4), 1e4), the weight of the generator's loss g beside the nll.

    Both are functions of the parameters `last` of the decoder's last layer, at which the gradients are; w itself has none.
    Esser et al. (2021), eq. 7.
    """
    return adaptive_weight_of(jax.grad(nll)(last), jax.grad(generator)(last), scale)


def adaptive_weight_of(grad_nll: Any, grad_generator: Any, scale: NonNegative = 0.5) -> Scalar:
    """`adaptive_weight` of the two gradients themselves."""
    norm = lambda tree: jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
    return scale * jax.lax.stop_gradient(jnp.minimum(norm(grad_nll) / (norm(grad_generator) + 1e-4), 1e4))
