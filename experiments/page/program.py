"""The compiled programs of the page: the beginning of a process, and some moves of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.schema import Named
from experiments.runtime import devices
from samplers import inpaint, moves, resample

FRAMES = 32
"""The number of parts that a grid is cut into; one of fewer steps has a frame for each."""
STEPS = 1024
MOVES = STEPS // FRAMES
"""The most moves between two frames, and so of one program. Shorter grids are padded with moves of length zero, for free."""
CLASSIFIER_FREE = Named(name="classifier_free")
"""The guidance that weighs a label."""


class Inputs(NamedTuple):
    """The inputs of a program that are numbers, so that another value needs no other program."""

    options: dict[str, Any]
    label: Any
    w: Any
    x_0: Any
    mask: Any


class Program(NamedTuple):
    """Two compiled functions.

    begin(params, keys, inputs) -> ((x, memory), step_keys)
    advance(params, ((x, memory), step_keys), times, start, stop, inputs) -> ((x, memory), view)
    """

    begin: Callable[..., Any]
    advance: Callable[..., Any]


def make_program(experiment: Experiment, label: str, repeats: int) -> Program:
    """The program of the sampler `label`, for a batch of samples on all devices."""
    decode, sampler = experiment.scaler.decode, experiment.config.samplers[label]
    by_label = sampler.model_copy(update={"guidance": CLASSIFIER_FREE if experiment.has_unconditional else None})
    to_a_class = sampler.guidance and sampler.guidance.name in ("classifier", "classifier_free")
    without = sampler.model_copy(update={"guidance": None}) if to_a_class else sampler

    def parts(params: Any, inputs: Inputs):
        w = {"w": inputs.w} if inputs.label is not None and experiment.has_unconditional else {}
        guided = without if inputs.label is None else by_label
        sde, score, step, _ = BoundSampler(experiment, guided).reverse(params, inputs.label, **inputs.options, **w)
        if inputs.mask is not None:
            step = inpaint(step, sde, inputs.x_0, inputs.mask)
            step = resample(step, sde, repeats) if repeats > 1 else step
        return sde, score, step

    def begin(params: Any, key: Any, inputs: Inputs):
        prior_key, step_key = jax.random.split(key)
        sde, _, step = parts(params, inputs)
        x = sde.prior_sample(prior_key, experiment.shape)
        return (x, step.init(x)), step_key

    def advance(params: Any, row: Any, times: Any, start: Any, stop: Any, inputs: Inputs):
        (x, memory), key = row
        sde, score, step = parts(params, inputs)
        keys = jax.lax.dynamic_slice_in_dim(jax.random.split(key, STEPS + MOVES), start, MOVES)
        x, memory, _, finite = moves(keys, step, x, memory, times)
        t = times[-1]
        x_0 = jnp.where(sde.sigma(t) > 0, sde.denoise(score, x, t), x)  # at sigma = 0 the score is infinite
        end = x_0 if sampler.denoise else x
        scale = jnp.maximum(jnp.hypot(sde.alpha(t), sde.sigma(t)), 1.0)
        nfe = step.count(memory, stop)
        view = decode(x / scale), decode(x_0), decode(end), nfe, finite, jnp.isfinite(end).all(), step.gave_up(memory)
        return (x, memory), view

    return Program(devices.mapped(begin), devices.mapped(advance))
