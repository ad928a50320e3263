"""Step, the one type of every sampler; chain, which composes them; solve and sample, the only loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from sde_lib.base import Event, Scalar


class Step(NamedTuple):
    """One move from t to s < t, as a pair of pure functions (optax's shape).

    init(x) -> memory;  update(key, x, memory, t, s) -> (x, memory).
    `nfe`: score evaluations per update; or, where the data decides, a function of the final memory and the number of updates.
    """

    init: Callable[[Event], Any]
    update: Callable[[Key[Array, ""], Event, Any, Scalar, Scalar], tuple[Event, Any]]
    nfe: int | Callable[[Any, Array], Array]

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

    fixed = [step.nfe for step in steps if not callable(step.nfe)]
    nfe = sum(fixed) if len(fixed) == len(steps) else count
    return Step(lambda x: tuple(step.init(x) for step in steps), update, nfe)


class Solution(NamedTuple):
    """`x` at the end of the grid, the `path` of x after each step, and the true number of score evaluations."""

    x: Event
    path: Float[Array, "steps *event"]
    nfe: Int[Array, ""]


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

    def move(carry, at):
        key, t, s = at
        carry = jax.lax.cond(s != t, lambda x, memory: step.update(key, x, memory, t, s), lambda x, memory: (x, memory), *carry)
        return carry, carry[0]

    keys = jax.random.split(key, len(grid) - 1)
    (x, memory), path = jax.lax.scan(move, (x, step.init(x)), (keys, grid[:-1], grid[1:]))
    nfe = step.count(memory, jnp.sum(grid[1:] != grid[:-1]))
    return Solution(x, path, nfe) if final is None else Solution(final(x, grid[-1]), path, nfe + 1)


def sample(
    key: Key[Array, ""],
    step: Step,
    x: Event,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> tuple[Event, Float[Array, "steps *event"]]:
    """`solve` without its count: (x, path). Under jit an unused path is never stored."""
    solution = solve(key, step, x, grid, final)
    return solution.x, solution.path
