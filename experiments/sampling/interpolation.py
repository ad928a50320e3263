"""Interpolations of held-out examples: on the arc between their latents, and as DDPM does, from part of the way to noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Shaped

from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from experiments.config.parts import bridges, learns_flow
from experiments.config.problems import attempt
from experiments.randomness import Purpose, streams
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, NumericsError
from samplers import decode, encode, interpolate, slerp
from sde_lib.base import Event, Scalar, gaussian


class Way(NamedTuple):
    """Frames as `levels` [pairs, frames, *event], and whether each was `finite` [pairs, frames]."""

    levels: Shaped[np.ndarray, "pairs frames *event"]
    finite: Bool[np.ndarray, "pairs frames"]


class Ends(NamedTuple):
    """The codes of two examples, and y(w), the conditions at w of the way: those of the examples go straight, others stay."""

    x_a: Event
    x_b: Event
    y: Callable[[Scalar], dict[str, Any]]


def interpolate_examples(experiment: Experiment, params: Any, test: np.ndarray) -> dict[str, np.ndarray]:
    """Frames [pairs, frames, *event] as levels between examples i and pairs + i, at even weights, by their kind.

    One kind is that of `on_the_arc`; the other goes from t on, by the step and on the grid of sample.sampler. Their ends, w = 0
    and 1, are the examples themselves, encoded and decoded, or noised and denoised.
    ConfigError if the config asks for more than there is; NumericsError if a frame is not finite.
    """
    config, experiment = experiment.config.interpolate, experiment.at(params)
    label = experiment.config.sample.sampler
    sampler = sample_sampler(experiment)
    whole = sampler.grid()
    problems = []
    if learns_flow(experiment.config):
        name = experiment.config.objective.name
        problems.append(f"interpolate needs p(x_t | x_0), and {name} learns a flow that has no score; edit by round_trip")
    if 2 * config.pairs > len(test):
        problems.append(f"interpolate.pairs = {config.pairs}: {len(test)} held-out examples make {len(test) // 2}")
    if config.t <= whole[-1]:
        problems.append(f"interpolate.t = {config.t:g}: the grid of samplers.{label} ends at {whole[-1]:.3g}; start above it")
    attempt(problems, "interpolate", lambda: check_between(experiment))
    attempt(problems, "interpolate", lambda: gaussian(experiment.sde, "the way from t on", "edit by round_trip"))
    if problems:
        raise ConfigError(problems)
    grid = jnp.concatenate([jnp.full(1, config.t), whole[whole < config.t]])

    def from_t(params: Any, key: Key[Array, ""], ends: Ends) -> Callable[[Scalar], Event]:
        def frame(w: Scalar) -> Event:
            reverse = sampler.reverse(params, ends.y(w))
            return interpolate(key, reverse.step, reverse.sde, ends.x_a, ends.x_b, w, grid, reverse.final)

        return frame

    pairs = np.stack([test[: config.pairs], test[config.pairs : 2 * config.pairs]], axis=1)
    ways = {
        "probability flow, on the arc between latents": on_the_arc(experiment, params, pairs),
        f"{label.replace('_', ' ')} from t = {config.t:g}": _ways(experiment, params, pairs, from_t),
    }
    bad = [
        f"{(~way.finite).sum()} of {way.finite.size} frames are not finite: {kind}"
        for kind, way in ways.items()
        if not way.finite.all()
    ]
    if bad:
        raise NumericsError(
            [*bad, "no picture is written; try another --config.evaluate.tolerance, sampler, or earlier checkpoint"]
        )
    return {kind: way.levels for kind, way in ways.items()}


def on_the_arc(experiment: Experiment, params: Any, pairs: Shaped[np.ndarray, "pairs 2 *event"]) -> Way:
    """The way between the latents x_1 of each pair under the flow, above evaluate.t_min and at evaluate.tolerance.

    With a codec the flow is that of codes. Where their score is that of N(0, I) on a VP-SDE, as for a codec alone, x_1 is the
    code itself. A semantic code goes straight: Preechakul et al. (2022), sec. 4.1.
    """
    e = experiment.config.evaluate
    flow: dict[str, Any] = {"t_min": e.t_min, "rtol": e.tolerance, "atol": e.tolerance}

    def by_flow(params: Any, key: Key[Array, ""], ends: Ends) -> Callable[[Scalar], Event]:
        sde, score = experiment.at(params).sde, lambda w: experiment.conditional(params, ends.y(w))
        # Nobody needs the density; `key` makes it cheap.
        latent = lambda w, x: encode(sde, score(w), x, key=key, **flow).latent
        a, b = jax.vmap(latent)(jnp.arange(2.0), jnp.stack([ends.x_a, ends.x_b]))
        return lambda w: decode(sde, score(w), slerp(a, b, w, sde.prior_mean), **flow)

    return _ways(experiment, params, pairs, by_flow)


def check_between(experiment: Experiment) -> None:
    """Raises ValueError if there is no score between two examples: it takes a label, or conditions that do not mix.

    Nor are there latents between which a bridge could go.
    """
    if bridges(experiment.config):
        name = experiment.config.objective.name
        raise ValueError(f"{name} begins at a degraded image, and has no latents to go between: sample it, by sample.like")
    shapes, sampler = experiment.condition_shapes, sample_sampler(experiment)
    for name in _of_examples(experiment):
        if not jnp.issubdtype(shapes[name].dtype, jnp.floating):
            raise ValueError(f"conditions.{name} are integers, and nothing lies between two of them")
    sampler.step(None, _common(experiment) | dict.fromkeys(_of_examples(experiment), 0))


def _of_examples(experiment: Experiment) -> list[str]:
    """The conditions that are made of an example's event."""
    return [name for name, each in experiment.conditions.items() if "x" in each.needs]


def _common(experiment: Experiment) -> dict[str, Any]:
    """The conditions of both ends, by name: those of `sample.label` if it is one class, as two examples have no one label."""
    label = sample_sampler(experiment).label
    return {**experiment.named(None if label == "each" else label)}


def _ways(
    experiment: Experiment,
    params: Any,
    pairs: Shaped[np.ndarray, "pairs 2 *event"],
    way: Callable[[Any, Key[Array, ""], Ends], Callable[[Scalar], Event]],
) -> Way:
    """The frames of each pair at even weights w, way(params, key, ends)(w)."""
    weights, names = jnp.linspace(0.0, 1.0, experiment.config.interpolate.frames), _of_examples(experiment)

    def one(params: Any, row: tuple[Key[Array, ""], Shaped[Array, "2 *event"]]) -> tuple[Array, Bool[Array, " frames"]]:
        key, levels = row
        a, b = (experiment.code(params, key, k) for k in levels)
        heard = [experiment.conditions_of(params, key, experiment.scaler.place(k, 0.5)) for k in levels]
        y_a, y_b = ({name: y[name] for name in names} for y in heard)
        straight = lambda w: jax.tree.map(lambda at_0, at_1: (1 - w) * at_0 + w * at_1, y_a, y_b)
        ends = Ends(a, b, lambda w: _common(experiment) | straight(w))
        x: Float[Array, "frames *event"] = jax.vmap(way(params, key, ends))(weights)
        return jax.vmap(partial(experiment.levels, params))(x), jnp.isfinite(x).reshape(len(x), -1).all(1)

    keys = streams(experiment.config.seed, Purpose.INTERPOLATE, len(pairs))
    rows = keys, jnp.asarray(pairs)
    run = experiment.once(("way", way.__name__), lambda: devices.mapped(one))
    levels, finite = devices.in_batches(run, params, rows, jax.device_count())
    return Way(levels, finite)
