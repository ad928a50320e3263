"""Interpolations of held-out examples: on the arc between their latents, and as DDPM does, from part of the way to noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from experiments.config.problems import attempt
from experiments.randomness import Purpose, streams
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, NumericsError
from samplers import decode, encode, interpolate, slerp


def interpolate_examples(experiment: Experiment, params: Any, test: np.ndarray) -> dict[str, np.ndarray]:
    """Frames [pairs, frames, *event] as levels between examples i and pairs + i, at even weights, by their kind.

    One kind is by the flow above evaluate.t_min, at evaluate.tolerance; the other from t on, by the step and on the grid of
    sample.sampler. Their ends, w = 0 and 1, are the examples themselves, encoded and decoded, or noised and denoised.
    ConfigError if the config asks for more than there is; NumericsError if a frame is not finite.
    """
    config, sde = experiment.config.interpolate, experiment.sde
    label = experiment.config.sample.sampler
    sampler = sample_sampler(experiment)
    whole = sampler.grid()
    problems = []
    if 2 * config.pairs > len(test):
        problems.append(f"interpolate.pairs = {config.pairs}: {len(test)} held-out examples make {len(test) // 2}")
    if config.t <= whole[-1]:
        problems.append(f"interpolate.t = {config.t:g}: the grid of samplers.{label} ends at {whole[-1]:.3g}; start above it")
    y = None if sampler.label == "each" else sampler.label  # two examples have no one label
    attempt(problems, "interpolate", lambda: sampler.step(params, y))
    if problems:
        raise ConfigError(problems)
    grid = jnp.concatenate([jnp.full(1, config.t), whole[whole < config.t]])
    e = experiment.config.evaluate
    flow: dict[str, Any] = {"t_min": e.t_min, "rtol": e.tolerance, "atol": e.tolerance}

    def one(params: Any, row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[tuple[jax.Array, jax.Array], ...]:
        key, *levels = row
        score = experiment.conditional(params, y)
        x_a, x_b = (experiment.code(params, key, k) for k in levels)
        # Nobody needs the density; `key` makes it cheap.
        latent_a, latent_b = (encode(sde, score, x, key=key, **flow).latent for x in (x_a, x_b))
        by_flow = lambda w: decode(sde, score, slerp(latent_a, latent_b, w, sde.prior_mean), **flow)
        reverse = sampler.reverse(params, y)
        from_t = lambda w: interpolate(key, reverse.step, reverse.sde, x_a, x_b, w, grid, reverse.final)
        weights = jnp.linspace(0.0, 1.0, config.frames)
        frames = jax.vmap(by_flow)(weights), jax.vmap(from_t)(weights)
        return tuple(
            (jax.vmap(partial(experiment.levels, params))(x), jnp.isfinite(x).reshape(len(x), -1).all(1)) for x in frames
        )

    keys = streams(experiment.config.seed, Purpose.INTERPOLATE, config.pairs)
    rows = keys, jnp.asarray(test[: config.pairs]), jnp.asarray(test[config.pairs : 2 * config.pairs])
    kinds = "probability flow, on the arc between latents", f"{label.replace('_', ' ')} from t = {config.t:g}"
    frames = dict(zip(kinds, devices.in_batches(devices.mapped(one), params, rows, jax.device_count()), strict=True))
    bad = [
        f"{(~finite).sum()} of {finite.size} frames are not finite: {kind}"
        for kind, (_, finite) in frames.items()
        if not finite.all()
    ]
    if bad:
        raise NumericsError(
            [*bad, "no picture is written; try another --config.evaluate.tolerance, sampler, or earlier checkpoint"]
        )
    return {kind: levels for kind, (levels, _) in frames.items()}
