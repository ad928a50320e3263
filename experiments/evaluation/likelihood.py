"""Bits per dimension of held-out examples: by the flow's density of dequantised levels, and by the variational bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Int, Key, Shaped

from experiments.build.experiment import Experiment
from experiments.config.schema import Config, Evaluate
from experiments.data.dataset import Batch, Dataset
from experiments.data.scaler import Levels, Scaler
from experiments.evaluation.dequantize import UNIFORM, Dequantizer, fit, variational
from experiments.randomness import Purpose, stream, streams
from experiments.runtime import devices
from experiments.runtime.progress import progress, say
from losses import continuous_bound
from samplers import encode
from sde_lib.base import SDE, Event, GaussianSDE, Scalar, Score


class Bits(NamedTuple):
    """The bits/dim of one example: by the flow with `nfe` evaluations, and the variational bound (nan if it is off)."""

    flow: Scalar
    bound: Scalar
    nfe: Int[Array, ""]


def bits_of(
    sde: SDE,
    score: Score,
    scaler: Scaler,
    draw: Callable[[Key[Array, ""], Levels], tuple[Event, Scalar]],
    options: Evaluate,
) -> Callable[[Key[Array, ""], Levels], Bits]:
    """bits(key, k) of one example k, with K = `options.draws` draws (z_i, cost_i) = draw(key_i, k) of its code and the cost:

        log P(k) >= E log 1/K sum_i p(z_i) exp(-cost_i),      tighter with every draw and exact in their limit;
        log P(k) >= E[-bound(z_1) - cost_1].

    Without a codec z_i = k + u_i, and the cost is log q(u_i | k) of the dequantizer; a codec adds its own (see `models.codec`).

    Burda et al. (2016), eq. 8; Theis et al. (2016), sec. 3.1; Ho et al. (2019), eq. 12; Song et al. (2021, "Maximum Likelihood
    Training"), thm. 3. The draws of an example share Hutchinson's probes: a common error of the p(k + u_i) leaves the mean of
    the logarithm as it is, but independent ones would raise it above log P(k).
    """

    def bits(key: Key[Array, ""], k: Levels) -> Bits:
        u_key, probe_key, bound_key = jax.random.split(key, 3)
        placed = lambda i: draw(jax.random.fold_in(u_key, i), k)

        def weigh(i: Array) -> tuple[Scalar, Array]:
            z, cost = placed(i)
            encoding = encode(
                sde,
                score,
                z,
                key=probe_key if options.probes else None,
                probes=max(options.probes, 1),
                t_min=options.t_min,
                rtol=options.tolerance,
                atol=options.tolerance,
            )
            return encoding.log_prob - cost, encoding.nfe

        log_weights, nfe = jax.lax.map(weigh, jnp.arange(options.draws))
        log_p, bound = logsumexp(log_weights) - math.log(options.draws), jnp.nan
        if options.bound_times:
            z, cost = placed(0)
            bound_of = continuous_bound(sde, score, m=options.bound_times, t_min=options.t_min)
            bound = bound_of(bound_key, z).total + cost
        return Bits(scaler.bits_per_dim(log_p, k.size), scaler.bits_per_dim(-bound, k.size), nfe.sum())

    return bits


def held_out(config: Config, test: np.ndarray) -> int:
    """The number of held-out examples that evaluate.likelihood asks for, at most all."""
    wanted = config.evaluate.likelihood
    return len(test) if wanted == "all" else min(wanted, len(test))


def _options(experiment: Experiment) -> Evaluate:
    """The options of the likelihood: `evaluate`'s, but without a bound if the SDE has none."""
    options = experiment.config.evaluate
    return options if isinstance(experiment.sde, GaussianSDE) else options.model_copy(update={"bound_times": 0})


def measure_bits(experiment: Experiment, params: Any, test: Batch, q: Dequantizer = UNIFORM) -> Bits:
    """The `bits_of` every example [n, *event], as arrays [n]; each has its own key, and the conditions that there are."""
    options = _options(experiment)

    def one(params: Any, row: tuple[jax.Array, Batch]) -> Bits:
        (score_params, q_params), (key, example) = params, row

        def draw(key: Key[Array, ""], k: Levels) -> tuple[Event, Scalar]:
            u, log_q = q.draw(q_params, key, k)
            z, cost = experiment.encode(score_params, jax.random.fold_in(key, 0), experiment.scaler.place(k, u))
            return z, log_q + cost

        x = experiment.scaler.place(example.levels, 0.5)
        score = experiment.score(score_params, y=experiment.conditions_of(score_params, key, x, example.y))
        return bits_of(experiment.at(score_params).sde, score, experiment.scaler, draw, options)(key, example.levels)

    n = len(test.levels)
    rows = streams(experiment.config.seed, Purpose.LIKELIHOOD, n), test
    with progress("bits/dim", n) as show:
        run = experiment.once("bits", lambda: devices.mapped(one))
        return devices.in_batches(run, (params, q.params), rows, options.batch, show=lambda count: show(count, ""))


def bits_per_dim(experiment: Experiment, params: Any, data: Dataset) -> dict[str, Any] | None:
    """The means of `measure_bits` over some held-out examples, and how they were obtained; None if there are none."""
    config, options = experiment.config, _options(experiment)
    n = held_out(config, data.test)
    if not n:
        return None
    q, curve = _learned(experiment, params, data) if options.dequantizer == "variational" else (UNIFORM, None)
    bits = measure_bits(experiment, params, data.held_out(n, experiment.classes), q)
    return mean_and_error(bits.flow) | {
        "n": n,
        "nfe": float(bits.nfe.mean()),
        "tolerance": options.tolerance,
        "probes": options.probes,
        "draws": options.draws,
        "dequantizer": options.dequantizer if config.data.levels else "none",
        "dequantizer_fit": curve,
        "bound": mean_and_error(bits.bound) | {"times": options.bound_times} if options.bound_times else None,
    }


def mean_and_error(values: Any) -> dict[str, float | int]:
    """The mean of values [n], its standard error (nan for n = 1), and the count of those that are not finite."""
    non_finite = int((~np.isfinite(values)).sum())
    return {"mean": float(values.mean()), "std_error": float(standard_error(values)), "non_finite": non_finite}


def standard_error(values: Shaped[np.ndarray, "n ..."]) -> np.ndarray:
    """The standard error of the mean over the first axis; nan of a single value, which has no spread."""
    return values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def _learned(experiment: Experiment, params: Any, data: Dataset) -> tuple[Dequantizer, dict[str, float | int]]:
    """q(u | k) fitted to the frozen score on training examples, and its objective in bits/dim over the first and last tenth."""
    config, scaler = experiment.config, experiment.scaler
    steps = config.evaluate.dequantizer_steps
    init_key, fit_key = jax.random.split(stream(config.seed, Purpose.DEQUANTIZER))

    def bound(params: Any, key: Key[Array, ""], k: Levels, u: Event) -> Scalar:
        sde, t_min = experiment.at(params).sde, experiment.config.evaluate.t_min
        return continuous_bound(sde, experiment.score(params), m=1, t_min=t_min)(key, scaler.place(k, u)).total

    say(f"fitting q(u | k) in {steps} steps (compiles first)")
    size = devices.rounded_up(config.train.batch)  # a run may be evaluated on other devices than it was trained on
    share = size, jax.process_index(), jax.process_count()
    batches = (data.train.batch(step, *share).levels for step in range(steps))
    q, curve = fit(fit_key, variational(init_key, config.data.levels, experiment.shape), bound, params, batches, steps)
    tenth = -(-steps // 10)
    first, last = (float(scaler.bits_per_dim(-c.mean(), math.prod(experiment.shape))) for c in (curve[:tenth], curve[-tenth:]))
    return q, {"steps": steps, "first": first, "last": last}
