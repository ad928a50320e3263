"""The gradients of a codec and of the discriminator that it is trained against, by a whole batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import losses
from experiments.build.discriminator import last_kernel
from experiments.build.experiment import Experiment
from experiments.data.dataset import Batch
from sde_lib.base import Scalar


def adversarial_gradient(
    experiment: Experiment, params: Any, step: jax.Array, keys: jax.Array, batch: Batch
) -> tuple[dict[str, Any], tuple[jax.Array, jax.Array]]:
    """Returns the gradient of each player's own loss, the other being constant; and (mean l, l [B]), as any loss is logged.

        codec            mean l(x) + w g(x_hat),    g = -mean D(x_hat)
        discriminator    h(x, x_hat) = (mean max(0, 1 - D(x)) + mean max(0, 1 + D(x_hat)))/2

    l is the objective of a codec that is trained alone, of which x_hat is the reconstruction, and D the discriminator's logits.
    w makes the gradient of w g at the decoder's last kernel `codec.adversarial.weight` times as long as that of mean l. Both
    players step at once, and before the step `codec.adversarial.start` neither g nor h counts. Esser et al. (2021), eqs. 5-7,
    with the hinge of Lim & Ye (2017).

    `params`: {"codec", "discriminator"}. `keys` [B]: those of the examples.
    """
    section, net = experiment.config.codec and experiment.config.codec.adversarial, experiment.discriminator
    assert section
    assert net

    def one(codec: Any, key: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        data_key, noise_key, flip_key, _ = jax.random.split(key, 4)  # as a step splits it for any loss
        x = experiment.event(data_key, flip_key, k)
        return *experiment.reconstruct(params | {"codec": codec}, noise_key, x), x

    def reconstructions(codec: Any) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        """Mean l and x_hat [B, *event]; beside them l and x of each example."""
        loss, x_hat, x = jax.vmap(one, (None, 0, 0))(codec, keys, batch.levels)
        return (jnp.mean(loss), x_hat), (loss, x)

    def D(discriminator: Any, x: jax.Array) -> jax.Array:
        return net.apply(discriminator, x, jnp.zeros(len(x)), None, None)

    def h(discriminator: Any) -> Scalar:
        return losses.hinge_discriminator(D(discriminator, x), D(discriminator, x_hat))

    (mean, x_hat), backward, (loss, x) = jax.vjp(reconstructions, params["codec"], has_aux=True)
    grad_g = jax.grad(lambda x_hat: losses.hinge_generator(D(params["discriminator"], x_hat)))(x_hat)
    # Of these two passes back only the way to the last kernel is computed.
    (grad_l_at_last,) = backward((jnp.ones(()), jnp.zeros_like(x_hat)))
    (grad_g_at_last,) = backward((jnp.zeros(()), grad_g))
    w = losses.adaptive_weight_of(last_kernel(grad_l_at_last), last_kernel(grad_g_at_last), section.weight)
    play = step >= section.start
    (of_codec,) = backward((jnp.ones(()), jnp.where(play, w * grad_g, 0.0)))
    of_discriminator = jax.tree.map(lambda g: jnp.where(play, g, 0.0), jax.grad(h)(params["discriminator"]))
    return {"codec": of_codec, "discriminator": of_discriminator}, (mean, loss)
