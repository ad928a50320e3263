"""Arms that differ by their linear SDE alone share their programs, of which the SDE is an argument."""

from __future__ import annotations

import json
from typing import Any, cast

import jax
import jax.numpy as jnp

import samplers
from experiments.build.checks import with_exact_score
from experiments.build.experiment import Experiment, Frozen
from experiments.build.family import Family
from experiments.build.sampler import bound_samplers
from experiments.config.parts import classifies, learns_sde, trains_codec
from experiments.runtime import devices
from experiments.runtime.errors import brief
from experiments.runtime.progress import say
from sde_lib import LinearSDE
from sde_lib.base import coordinates


def sharing(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Returns the experiments, each in a family: of all that differ by their linear SDE and seed alone, or else of itself.

    The SDEs of a family have numbers for alpha(t) and sigma(t), and every part of the config is tried on them as one. If a part
    asks for more than alpha and sigma, each experiment keeps its own programs.
    """
    alike: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        alike.setdefault(_but_for_the_sde(experiment) if _by_number(experiment) else name, []).append(name)
    shared = {name: experiment._replace(family=Family()) for name, experiment in experiments.items()}
    for names in alike.values():
        if len(names) > 1:
            together = _together({name: experiments[name] for name in names})
            if why := _obstacle(together[names[0]]):
                say(f"{', '.join(names)} compile programs of their own: {why}")
            else:
                shared |= together
    return shared


def _together(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """The experiments as one family, each by its number."""
    family = Family(tuple(cast(LinearSDE, experiment.sde) for experiment in experiments.values()))
    numbers = devices.put([jnp.int32(i) for i in range(len(experiments))], devices.replicated())
    return {
        name: experiment._replace(family=family, frozen=experiment.frozen._replace(which=number))
        for (name, experiment), number in zip(experiments.items(), numbers, strict=True)
    }


def _by_number(experiment: Experiment) -> bool:
    """Returns whether the SDE can be one of several in a program."""
    config, sde = experiment.config, experiment.sde
    fixed = not (learns_sde(config) or trains_codec(config) or classifies(config))
    return fixed and isinstance(sde, LinearSDE) and coordinates(sde) == ()


def _but_for_the_sde(experiment: Experiment) -> str:
    """The config without its SDE, seed and title, as JSON."""
    return json.dumps(experiment.config.model_dump(exclude={"sde", "seed", "title"}), sort_keys=True, default=str)


def _obstacle(experiment: Experiment) -> str:
    """Returns why a part fails on the family's SDE in a program, by tracing each of them; "" if none does."""
    key, x = jax.random.key(0), jnp.zeros(experiment.code_shape)

    def parts(frozen: Frozen) -> Any:
        on_family = with_exact_score(experiment.adapted(frozen))
        t, _ = on_family.times.sample(key, on_family.times.init(), 8)
        steps = [sampler.step(None, sampler.any_conditions) for sampler in bound_samplers(on_family).values()]
        solve = jax.vmap(lambda x: [samplers.solve(key, step, x, t[:2]).x for step in steps], axis_name="batch")
        return on_family.weight(on_family.sde, t[0]), solve(x[None])

    try:
        jax.eval_shape(parts, experiment.frozen)
    except Exception as error:  # of a part of the user's, anything
        return brief(error)
    return ""
