"""The loss of a codec that is trained by itself, before there is a score of its codes."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Array, Key

from losses.dsm import Loss
from sde_lib.base import SDE, Event, NonNegative, Scalar


def rate_distortion(sde: SDE, codec_loss: Callable[[Key[Array, ""], Event, Scalar], Scalar], beta: NonNegative = 1.0) -> Loss:
    """l(x) = 1/D (distortion(x) + beta rate(x)), whatever t is: of a VAE at beta = 1 it is -ELBO(x)/D.

    `codec_loss(key, x, beta)` [nats]: that of the codec (see `models.codec`). A beta below 1 keeps more of x in the code, and
    the loss is no bound then. Kingma & Welling (2014), eq. 3; for beta Higgins et al. (2017), eq. 4. Returns `loss(key, x, t)`.
    """
    return lambda key, x, t: codec_loss(key, x, beta) / x.size
