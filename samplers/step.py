"""Step, the one type of every sampler; chain, which composes them; moves, the only loop, for solve and sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sde_lib import fast_random
from sde_lib.base import Event, Scalar


class Step(NamedTuple):
    """One move from t to s < t, as a pair of pure functions (optax's shape).

    init(x) -> memory;  update(key, x, memory, t, s) -> (x, memory).
    `nfe`: score evaluations per update; or, where the data decides, a function of the final memory and the number of updates.
    `gave_up`: where a solver inside may run out of steps, whether it did, as a function of the final memory.
    """

    init: Callable[[Event], Any]
    update: Callable[[Key[Array, ""], Event, Any, Scalar, Scalar], tuple[Event, Any]]
    nfe: int | Callable[[Any, Array], Array]
    gave_up: Callable[[Any], Array] = lambda memory: jnp.zeros((), bool)

    def count(self, memory: Any, n: Array) -> Array:
        """Score evaluations of n updates that ended with `memory`."""
        return self.nfe(memory, n) if callable(self.nfe) else self.nfe * n


def stateless(update: Callable[[Key[Array, ""], Event, Scalar, Scalar], Event], nfe: int) -> Step:
    """A Step without memory from `update(key, x_t, t, s) -> x_s`."""
    return Step(init=lambda x: (), update=lambda key, x, memory, t, s: (update(key, x, t, s), memory), nfe=nfe)


def chain(*steps: Step) -> Step:
    """The steps in order, all from the same t to the same s: chain(corrector, predictor) is predictor-corrector sampling.

    A corrector leaves x at t and the predictor moves it to s, as in score_sde (Song et al. 2021, alg. 1 in another order).
    """

    def update(key, x, memories, t, s):
        after = []
        for step, memory, step_key in zip(steps, memories, jax.random.split(key, len(steps)), strict=True):
            x, memory = step.update(step_key, x, memory, t, s)
            after.append(memory)
        return x, tuple(after)

    def count(memories, n):
        return sum((step.count(memory, n) for step, memory in zip(steps, memories, strict=True)), jnp.zeros((), int))

    def gave_up(memories):
        return jnp.stack([step.gave_up(memory) for step, memory in zip(steps, memories, strict=True)]).any()

    fixed = [step.nfe for step in steps if not callable(step.nfe)]
    nfe = sum(fixed) if len(fixed) == len(steps) else count
    return Step(lambda x: tuple(step.init(x) for step in steps), update, nfe, gave_up)


def noise(key: Key[Array, ""], x: Event, std: Scalar, eta: Scalar) -> Event | float:
    """std z, z ~ N(0, I) of the shape of x, for a step that is deterministic at eta = 0.

    Where eta is the number 0, as opposed to a traced one, it is 0 and nothing is drawn: the draw costs more than all the rest.
    """
    if isinstance(eta, float | int) and eta == 0:
        return 0.0
    return std * fast_random.normal(key, x.shape, x.dtype)


class Solution(NamedTuple):
    """`x` at the end of the grid, the `path` of x after each step, and the true number of score evaluations.

    `finite`: the moves before the first after which x was not finite, whatever it was later; all of them, with the `final`
    one, where it always was, and one that was skipped is as good as its x. So x is first not finite at grid[finite + 1].
    `gave_up`: whether that is because an adaptive solver ran out of steps.
    """

    x: Event
    path: Float[Array, "steps *event"]
    nfe: Int[Array, ""]
    finite: Int[Array, ""]
    gave_up: Bool[Array, ""]


def solve(
    key: Key[Array, ""],
    step: Step,
    x: Event,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> Solution:
    """Moves one example from `x` at grid[0] along `grid`, one `step` for each pair of neighbours.

    Grids decrease from noise to data; the deterministic steps also run on a reversed one, from data to noise. A move of length
    zero is skipped and costs nothing, so that grids padded with their last point share one compiled program.
    `final`: applied to x at the end, at the cost of one evaluation; `partial(sde.denoise, score)` is Tweedie's denoising.
    """

    keys = jax.random.split(key, len(grid) - 1)
    x, memory, path, sound = moves(keys, step, x, step.init(x), grid)
    nfe = step.count(memory, jnp.sum(grid[1:] != grid[:-1]))
    if final is not None:
        x, nfe = final(x, grid[-1]), nfe + 1
        sound = jnp.append(sound, jnp.isfinite(x).all())
    return Solution(x, path, nfe, jnp.cumprod(sound).sum(), step.gave_up(memory))


def moves(
    keys: Key[Array, " moves"], step: Step, x: Event, memory: Any, grid: Float[Array, " times"]
) -> tuple[Event, Any, Float[Array, "moves *event"], Bool[Array, " moves"]]:
    """The moves of `solve` along one part of a grid, from the `memory` that the part before ended with.

    Returns x and memory at its end, x after each move, and whether that was finite.
    """

    def move(carry, at):
        key, t, s = at
        carry = jax.lax.cond(s != t, lambda x, memory: step.update(key, x, memory, t, s), lambda x, memory: (x, memory), *carry)
        x = carry[0]
        return carry, (x, jnp.isfinite(x).sum() == x.size)  # XLA:CPU counts three times faster than it finds `all`

    (x, memory), (path, sound) = jax.lax.scan(move, (x, memory), (keys, grid[:-1], grid[1:]))
    return x, memory, path, sound


def sample(
    key: Key[Array, ""],
    step: Step,
    x: Event,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> tuple[Event, Float[Array, "steps *event"]]:
    """`solve` without its counts: (x, path). Under jit an unused path is never stored."""
    solution = solve(key, step, x, grid, final)
    return solution.x, solution.path
