"""The discriminator of a codec, and the kernel of the codec's decoder at which its weight is measured."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import models
from experiments.build.experiment import Experiment
from experiments.config.parts import DISCRIMINATOR
from experiments.config.schema import Config
from models.functional import Functional

DECODERS = ("decoder", "net")
"""The part of a codec's parameters that ends in its reconstruction, by the names that codecs have for it."""


def discriminator_of(config: Config) -> Functional | None:
    """Returns the network that `codec.adversarial` names, in the dtype of the config; None if there is none."""
    section = config.codec and config.codec.adversarial
    if not section:
        return None
    net = models.functional(partial(DISCRIMINATOR.find(section.net.name), **section.net.options), config.compute)
    return models.traced_once(net)


def last_kernel(params: Any) -> Any:
    """Returns the kernel of the decoder's last layer, which is called `last`, from a codec's own parameters.

    Raises ValueError if there is none.
    """
    for name in DECODERS:
        with suppress(TypeError, KeyError):  # of other codecs
            return params[name]["last"]["kernel"]
    raise ValueError(
        "codec.adversarial is weighed at the kernel of the decoder's layer `last`; there is none: take ConvDecoder"
    )


def check_discriminator(experiment: Experiment) -> None:
    """Traces the discriminator on two examples, so that it has logits of them, and its weight a place.

    Raises ValueError with the nearest that works.
    """
    section, net = experiment.config.codec and experiment.config.codec.adversarial, experiment.discriminator
    if not section or net is None:
        return
    name, shape = section.net.name, experiment.shape
    if name in DISCRIMINATOR.names and len(shape) != 3:
        raise ValueError(f"codec.adversarial.net {name} is for images [H, W, C], not for events of shape {shape}; take None")
    params, x = jax.eval_shape(experiment.initial, jax.random.key(0)), jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    last_kernel(params["codec"])
    try:
        logits = jax.eval_shape(lambda params, x: net.apply(params, x, jnp.zeros(2), None, None), params["discriminator"], x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"codec.adversarial.net {name}: {error}") from error
    if not logits.size:
        raise ValueError(f"codec.adversarial.net {name} sees no patch of {shape[0]} x {shape[1]} pixels: take fewer layers")
