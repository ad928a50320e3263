"""The averages of the parameters that training keeps: exponential ones, then power functions of time.

They are one tree if there is one average, as most runs have, and else a tuple of trees, in the order of `newest_weights`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.build.power_average import exponent, newest_weight
from experiments.config.schema import Config, Train


def newest_weights(config: Train) -> tuple[Callable[[jax.Array], jax.Array], ...]:
    """Returns for each average the weight of the newest parameters, a function of the number of their step."""
    # An exponential average is shorter in the first steps: it forgets the initial parameters fast.
    exponential = lambda rate, step: 1 - jnp.minimum(rate, (1 + step) / (10 + step))
    powers = (partial(newest_weight, exponent(sigma_rel)) for sigma_rel in config.sigma_rel)
    return (*(partial(exponential, rate) for rate in config.decays), *powers)


def each(config: Train, averages: Any) -> tuple[Any, ...]:
    """Returns the averages one by one."""
    return averages if len(config.decays) + len(config.sigma_rel) > 1 else (averages,)


def together(trees: tuple[Any, ...]) -> Any:
    """Returns the averages as a state holds them."""
    first, *others = trees
    return trees if others else first


def begin(config: Train, params: Any) -> Any:
    """Returns averages that all begin at the parameters; copies, for a buffer that two share could not be donated twice."""
    return together(tuple(jax.tree.map(jnp.copy, params) for _ in newest_weights(config)))


def advance(config: Train, averages: Any, params: Any, step: jax.Array) -> Any:
    """Returns the averages after the step that led to `params`."""
    trees = zip(newest_weights(config), each(config, averages), strict=True)
    return together(tuple(optax.incremental_update(params, tree, weight(step)) for weight, tree in trees))


def choose(config: Config, averages: Any) -> Any:
    """Returns the average that `sample` names: by its decay rate or its width; the first if it names none."""
    train, sample = config.train, config.sample
    if sample.sigma_rel is not None:
        return each(train, averages)[len(train.decays) + train.sigma_rel.index(sample.sigma_rel)]
    return each(train, averages)[0 if sample.ema is None else train.decays.index(sample.ema)]
