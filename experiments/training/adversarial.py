"""The loss of a codec that is trained against a discriminator, of both players and of a whole batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import losses
from experiments.build.discriminator import last_kernel, with_last_kernel
from experiments.build.experiment import Experiment
from experiments.data.dataset import Batch
from sde_lib.base import Scalar


def adversarial_loss(
    experiment: Experiment, params: Any, step: jax.Array, keys: jax.Array, batch: Batch
) -> tuple[Scalar, tuple[Scalar, jax.Array]]:
    """Returns mean l + w g + h, and (mean l, l [B]), of the objective l of the codec's reconstructions (`losses.adversarial`).

    `params`: {"codec", "discriminator"}. `keys` [B]: those of the examples. From step `codec.adversarial.start` on w makes the
    slope of w g at the decoder's last kernel `codec.adversarial.weight` times that of l; before it w g + h counts for nothing,
    and has no gradient.
    """
    section, net = experiment.config.codec and experiment.config.codec.adversarial, experiment.discriminator
    assert section
    assert net

    def one(params: Any, key: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        data_key, noise_key, flip_key, _ = jax.random.split(key, 4)  # as a step splits it for any loss
        x = experiment.event(data_key, flip_key, k)
        return x, *experiment.reconstruct(params, noise_key, x)

    def reconstructions(params: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        """x, l and x_hat of each example."""
        return jax.vmap(one, (None, 0, 0))(params, keys, batch.levels)

    def discriminator(of_discriminator: Any, x: jax.Array) -> jax.Array:
        return net.apply(of_discriminator, x, jnp.zeros(len(x)), None, None)

    constant = jax.lax.stop_gradient(params)
    at = lambda kernel: reconstructions(constant | {"codec": with_last_kernel(constant["codec"], kernel)})
    weight = losses.adaptive_weight(
        lambda kernel: jnp.mean(at(kernel)[1]),
        lambda kernel: losses.hinge_generator(discriminator(constant["discriminator"], at(kernel)[2])),
        last_kernel(constant["codec"]),
        section.weight,
    )
    x, loss, x_hat = reconstructions(params)
    both = losses.adversarial(discriminator, params["discriminator"], x, x_hat, weight)
    mean = jnp.mean(loss)
    return mean + jnp.where(step >= section.start, both, 0.0), (mean, loss)
