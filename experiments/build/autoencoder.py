"""A diffusion autoencoder as a codec of its examples, whose codes another run can score."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

import models
import samplers
from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from models.codec import Code
from sde_lib.base import Event, Scalar


def autoencoder_codec(experiment: Experiment) -> models.Codec:
    """z = E(x), and x the sample given z of `sample.sampler`, from x_1 of the prior, or from its mean if the key is None.

    By a sampler without noise, of Gaussian data, the x from the prior's mean is E[x | z], as the flow is affine. There is no
    density, and the cost is 0. A score of these codes is the latent prior of Preechakul et al. (2022), sec. 5.3.
    """
    sampler = sample_sampler(experiment)

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        return experiment.conditions_of(params, key, x)["vector"], 0.0

    def decode(params: Any, key: Key[Array, ""] | None, z: Code) -> Event:
        reverse = sampler.reverse(params, {"vector": z})
        prior_key, step_key = jax.random.split(jax.random.key(0) if key is None else key)
        mean = jnp.broadcast_to(jnp.asarray(reverse.sde.prior_mean, jnp.float32), experiment.code_shape)
        x_1 = mean if key is None else reverse.sde.prior_sample(prior_key, experiment.code_shape)
        solution = samplers.solve(step_key, reverse.step, x_1, sampler.at(params).grid(), reverse.final)
        return experiment.decode(params, solution.x)

    return models.Codec(lambda key, x: experiment.network(experiment.initial(key)), encode, decode, density=False)
