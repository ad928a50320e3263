"""Step, the type of every sampler; chain, which composes steps; moves, the only loop; and draw, solve and sample on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sde_lib import fast_random
from sde_lib.base import SDE, Diagonal, Event, Scalar


class Step(NamedTuple):
    """One move from t to s < t, as a pair of pure functions (optax's shape).

    init(x) -> memory;  update(key, x, memory, t, s) -> (x, memory).
    `nfe`: score evaluations per update; if they depend on x, a function of the final memory and the number of updates.
    `gave_up`: a function of the final memory, true if a solver inside the step ran out of its own steps.
    `stochastic`: the update uses its key. False promises that x_s is a function of x_t and the memory alone.
    `corrector`: the update leaves x at t, whatever s is; it is chained before a step that moves x to s.
    """

    init: Callable[[Event], Any]
    update: Callable[[Key[Array, ""], Event, Any, Scalar, Scalar], tuple[Event, Any]]
    nfe: int | Callable[[Any, Array], Array]
    gave_up: Callable[[Any], Array] = lambda memory: jnp.zeros((), bool)
    stochastic: bool = True
    corrector: bool = False

    def count(self, memory: Any, n: Array) -> Array:
        """Returns the number of score evaluations of n updates whose final memory is `memory`."""
        return self.nfe(memory, n) if callable(self.nfe) else self.nfe * n


def stateless(
    update: Callable[[Key[Array, ""], Event, Scalar, Scalar], Event],
    nfe: int,
    stochastic: bool = True,
    corrector: bool = False,
) -> Step:
    """A Step without memory from `update(key, x_t, t, s) -> x_s`."""
    return Step(
        init=lambda x: (),
        update=lambda key, x, memory, t, s: (update(key, x, t, s), memory),
        nfe=nfe,
        stochastic=stochastic,
        corrector=corrector,
    )


def chain(*steps: Step) -> Step:
    """The steps in order, all from the same t to the same s: chain(corrector, predictor) is predictor-corrector sampling.

    A corrector leaves x at t and the predictor moves it to s, as in score_sde (Song et al. 2021, alg. 1 in another order).
    The chain is stochastic if any of its steps is, and a corrector if all of them are.
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
    return Step(
        init=lambda x: tuple(step.init(x) for step in steps),
        update=update,
        nfe=nfe,
        gave_up=gave_up,
        stochastic=any(step.stochastic for step in steps),
        corrector=all(step.corrector for step in steps),
    )


def noise(key: Key[Array, ""], x: Event, std: Diagonal, eta: Scalar) -> Event | float:
    """std z, z ~ N(0, I) of the shape of x, for a step that is deterministic at eta = 0.

    If eta is the number 0, and not a traced value, the result is 0 and nothing is drawn: the draw would cost more than the rest
    of the step.
    """
    return std * fast_random.normal(key, x.shape, x.dtype) if noisy(eta) else 0.0


def noisy(eta: Scalar) -> bool:
    """True unless eta is the number 0; a traced eta may turn out to be anything."""
    return not (isinstance(eta, float | int) and eta == 0)


class Solution(NamedTuple):
    """`x` at the end of the grid, the `path` of x after each step, and the true number of score evaluations.

    `finite`: how many moves (the `final` one included) kept x finite before the first that did not; the first non-finite x is
    at grid[finite + 1].
    `gave_up`: true if an adaptive solver ran out of steps, and x is nan for that reason.
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


def draw(
    key: Key[Array, ""],
    sde: SDE,
    step: Step,
    grid: Float[Array, " times"],
    shape: tuple[int, ...],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> Solution:
    """Draws one sample: x_1 ~ p_1, the prior of `sde` on events of `shape`, then `solve` along `grid` by `step`.

    `.x` of the result is the sample. `final` as in `solve`.
    """
    prior_key, step_key = jax.random.split(key)
    return solve(step_key, step, sde.prior_sample(prior_key, shape), grid, final)


def moves(
    keys: Key[Array, " moves"], step: Step, x: Event, memory: Any, grid: Float[Array, " times"]
) -> tuple[Event, Any, Float[Array, "moves *event"], Bool[Array, " moves"]]:
    """Makes the moves of `solve` along one part of a grid, from the `memory` at the end of the previous part.

    Returns x and memory at the end, x after each move, and whether each of those was finite.
    """

    def move(carry, at):
        key, t, s = at
        carry = jax.lax.cond(s != t, lambda x, memory: step.update(key, x, memory, t, s), lambda x, memory: (x, memory), *carry)
        x = carry[0]
        return carry, (x, jnp.isfinite(x).sum() == x.size)  # XLA:CPU computes a sum three times faster than `all`

    (x, memory), (path, sound) = jax.lax.scan(move, (x, memory), (keys, grid[:-1], grid[1:]))
    return x, memory, path, sound


def sample(
    key: Key[Array, ""],
    step: Step,
    x: Event,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> tuple[Event, Float[Array, "steps *event"]]:
    """Returns (x, path) of `solve`, without its counts. Under jit an unused path is never stored."""
    solution = solve(key, step, x, grid, final)
    return solution.x, solution.path
