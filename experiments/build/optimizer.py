"""The optimiser that a config names, and the learning rate that it goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.config.optimizers import STEADIER, takes_schedule
from experiments.config.parts import LEARNING_RATE, OPTIMIZER, learns_sde, schedule_of
from experiments.config.schema import Config, Named, Train
from experiments.runtime.errors import users_line


def make_optimizer(config: Train) -> optax.GradientTransformation:
    """Returns the section's optimiser after clipping by the global norm (score_sde's order); AdamW if it names none."""
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    if config.optimizer is not None:
        return optax.chain(clip, constants_stay(_named(config.optimizer, config)))
    adam = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    rate = optax.scale_by_learning_rate(optimizer_rate(config))
    return optax.chain(clip, optax.chain(adam, decay(config.weight_decay), rate))


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Returns the optimiser of a run: that of its section, and with `codec.adversarial` one for each of the two players.

    Options of an SDE that are learned have Adam by the same numbers, but nothing that decays: 0 is no schedule to return to.
    """
    optimizer = make_optimizer(config.train)
    if learns_sde(config):
        adam = make_optimizer(config.train.model_copy(update={"optimizer": None, "weight_decay": 0.0}))
        return for_each(optimizer, sde=adam)
    return for_each(optimizer) if config.codec and config.codec.adversarial else optimizer


def for_each(optimizer: optax.GradientTransformation, **others: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimiser of a dictionary of parameters: each entry has a state, and so a global norm, of its own.

    `others`: the optimisers of the entries of these names, in the place of the first.
    """
    of = lambda name: others.get(name, optimizer)

    def init(params: Any) -> dict[str, Any]:
        return {name: of(name).init(part) for name, part in params.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        each = {name: of(name).update(updates[name], state[name], params and params[name]) for name in updates}
        return {name: after[0] for name, after in each.items()}, {name: after[1] for name, after in each.items()}

    return optax.GradientTransformation(init, update)


def _named(part: Named, config: Train) -> optax.GradientTransformation:
    """The optimiser on the section's learning rate, or on the number that this is throughout."""
    rate = optimizer_rate(config)
    if not OPTIMIZER.takes(part.name, "learning_rate"):
        nearest = STEADIER.get(part.name, "adamw")
        raise ValueError(f"{part.name} has no argument learning_rate, which training supplies; take {nearest}")
    if takes_schedule(OPTIMIZER.find(part.name)):
        return OPTIMIZER.build(part.name, learning_rate=rate, **part.options)
    if config.schedule is not None or config.decay != "constant" or config.warm_up:
        raise ValueError(f"{part.name} takes a constant learning rate: train.warm_up = 0, decay = 'constant', schedule = None")
    return OPTIMIZER.build(part.name, learning_rate=config.learning_rate, **part.options)


def decay(rate: float) -> optax.GradientTransformation:
    """Returns u + rate w of the updates u of parameters w: optax's decay, but for arrays whose update is 0.

    Those are constants, which no gradient reaches, such as fixed frequencies; and at first what begins behind a zero.
    """

    def decayed(u: jax.Array, w: jax.Array) -> jax.Array:
        return u + jnp.where(jnp.any(u != 0), rate * w, 0)

    return optax.stateless(lambda updates, params: jax.tree.map(decayed, updates, params)) if rate else optax.identity()


class Reached(NamedTuple):
    """The state of `constants_stay`: whether a gradient has `reached` each array, and the state of the optimiser."""

    reached: Any
    of: optax.OptState


def constants_stay(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimiser without the updates of arrays that no gradient has reached yet, whatever decays or shakes them.

    Constants have none ever. What begins behind a zero is reached later, and from then on it is the optimiser's.
    """

    def init(params: Any) -> Reached:
        # A copy: an optimiser may keep the parameters, and a buffer that two arrays share could not be donated twice.
        own = jax.tree.map(jnp.copy, params)
        return Reached(jax.tree.map(lambda _: jnp.zeros((), bool), params), optimizer.init(own))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Reached]:
        reached = jax.tree.map(lambda g, before: before | jnp.any(g != 0), updates, state.reached)
        updates, of = optimizer.update(updates, state.of, params)
        return jax.tree.map(lambda u, moves: jnp.where(moves, u, 0), updates, reached), Reached(reached, of)

    return optax.GradientTransformation(init, update)


def check_optimizer(config: Train, params: Any) -> None:
    """Traces an update of parameters of these shapes, without compiling, by the optimiser that the section names.

    Raises ValueError if it needs more than gradients and parameters, or if its state changes its types, so that no loop can
    carry it and no checkpoint hold it.
    """
    part = config.optimizer
    if part is None:
        return
    optimizer = make_optimizer(config)
    state = jax.eval_shape(optimizer.init, params)
    try:
        updates, after = jax.eval_shape(optimizer.update, params, state, params)
    except Exception as error:
        if users_line(error):
            raise
        nearest = STEADIER.get(part.name, "adamw")
        remedy = f"{part.name} with {nearest}" if "=" in nearest else nearest
        needs = f"needs more than the gradient of each step ({' '.join(str(error).split())[:120]})"
        raise ValueError(f"{part.name} {needs}; take {remedy}") from error
    kinds = lambda tree: (jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)])
    numbers = all(jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == bool for leaf in jax.tree.leaves(state))
    if kinds(after) != kinds(state) or not numbers:
        raise ValueError(
            f"{part.name} has a state whose types change, or are no numbers, which no checkpoint holds; take adamw"
        )
    if kinds(updates) != kinds(params):
        raise ValueError(f"{part.name} makes updates of other shapes or types than the parameters; take adamw")


def check_rate(config: Train) -> None:
    """Raises ValueError unless the section's schedule is a number, finite and not negative, at the first and last step."""
    rate = optimizer_rate(config)
    for step in (0, config.steps):
        value = jnp.asarray(jax.jit(rate)(jnp.int32(step)))
        if value.shape or not 0 <= value < jnp.inf:
            raise ValueError(f"the learning rate at step {step} is {value}: it must be a number, finite and not negative")


def warm_up(config: Train) -> int:
    """Returns the steps of the warm-up: `warm_up`, or a tenth of `steps` if a cosine would have none left to decay in."""
    return config.steps // 10 if config.decay == "cosine" and config.warm_up >= config.steps else config.warm_up


def optimizer_rate(config: Train) -> Callable[[Any], Any]:
    """Returns the learning rate at each step: the section's schedule, or a linear warm-up from 0, then constant or a cosine."""
    if (part := schedule_of(config)) is not None:
        return LEARNING_RATE.build(part.name, **part.options)
    rate, ramp = config.learning_rate, warm_up(config)
    after = (
        optax.cosine_decay_schedule(rate, config.steps - ramp) if config.decay == "cosine" else optax.constant_schedule(rate)
    )
    return optax.join_schedules([optax.linear_schedule(0.0, rate, ramp), after], [ramp]) if ramp else after
