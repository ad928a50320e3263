"""Edits of held-out examples by a trained run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.checks import with_exact_score
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, Rows, bound_samplers, sample_sampler
from experiments.config.classes import class_numbers
from experiments.config.parts import EDIT, autoencodes, bridges, learns_flow
from experiments.config.problems import attempt
from experiments.data.dataset import Batch, Dataset
from experiments.edits.base import Edit, Frames, Row, Setting, Trained
from experiments.randomness import Purpose, streams
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.runtime.startup import PROGRAM
from models.conditions import without
from sde_lib import SDE, LinearSDE, Score
from sde_lib.base import GaussianSDE, gaussian, linear

OF_FLOWS = ("round_trip", "progressive")
"""The edits that follow the flow alone."""
OF_ANY_SDE = ("round_trip", "manipulate")
"""The edits that need no p(x_t | x_0)."""
OF_NOISE = ("sdedit", "between", "shared")
"""Those that need no more than a draw of it."""


def configured_edit(experiment: Experiment, test: np.ndarray) -> Edit:
    """The edit of the config on this run; ConfigError if it does not apply to it."""
    config, problems = experiment.config.edit, []
    edit = attempt(problems, "edit.by", lambda: _edit(experiment))
    if edit and _unlabelled(experiment, edit):
        attempt(problems, "sample.label", lambda: _try(experiment, edit))
    needed = config.rows * (1 + bool(edit and edit.pairs))
    if needed > len(test):
        most = len(test) // 2 if edit and edit.pairs else len(test)
        problems.append(f"edit.rows = {config.rows}: {len(test)} held-out examples make {most}")
    if problems:
        raise ConfigError(problems)
    return edit


def _edit(experiment: Experiment) -> Edit:
    """The edit that the config names, for `sample.sampler`.

    ValueError if it noises data, and the run learns a flow alone; TypeError if it does, and the SDE has no p(x_t | x_0).
    """
    config, by, sampler = experiment.config, experiment.config.edit.by, sample_sampler(experiment)
    if bridges(config):
        raise ValueError(f"{config.objective.name} begins at a degraded image, and knows no edit: sample it, by sample.like")
    if learns_flow(config) and by.name not in OF_FLOWS:
        has_none = f"{config.objective.name} learns a flow that has no score"
        raise ValueError(f"{by.name} needs p(x_t | x_0), and {has_none}; take {' or '.join(OF_FLOWS)}")
    setting = Setting(
        _sde(sampler, by.name),
        experiment.code_shape,
        config.sample.sampler,
        np.asarray(sampler.grid()),
        tuple(label for label, other in bound_samplers(with_exact_score(experiment)).items() if _is_noisy(other)),
        sampler.number,
        partial(_attribute, experiment),
        config.evaluate.tolerance,
        _least_time(sampler),
    )
    return EDIT.build(by.name, setting, **by.options)


def _sde(sampler: BoundSampler, edit: str) -> SDE:
    """The SDE of the sampler. TypeError if it lacks what the edit needs."""
    if edit in OF_ANY_SDE:
        return sampler.sde
    if edit in OF_NOISE:
        return gaussian(sampler.sde, edit, f"take {' or '.join(OF_ANY_SDE)}")
    others = OF_ANY_SDE + OF_NOISE if isinstance(sampler.sde, GaussianSDE) else OF_ANY_SDE
    return linear(sampler.sde, edit, f"take {' or '.join(others)}")


def _attribute(experiment: Experiment, label: int | str) -> int:
    """The number of a class of the data. ValueError if there is none, or if the run has no semantic code."""
    if not autoencodes(experiment.config):
        raise ValueError("it moves a semantic code, and the run has none: train with conditions.vector = PooledEncoder")
    return class_numbers((label,), experiment.names)[0]


def _is_noisy(sampler: BoundSampler) -> bool:
    """Returns whether a step of the sampler draws noise."""
    return sampler.step(None, sampler.any_conditions).stochastic


def _try(experiment: Experiment, edit: Edit) -> None:
    """Raises ValueError if the sampler needs a condition that the rows of the edit are without."""
    sampler = sample_sampler(experiment)
    of = lambda what: (name for name, each in experiment.conditions.items() if what in each.needs)
    there = without(sampler.any_conditions, ("label", *of("label"), *(of("x") if edit.pairs else ())))
    sampler.step(None, there | sampler.caption)


def _least_time(sampler: BoundSampler) -> float | None:
    """`evaluate.t_min` on the sampler's SDE.

    On another SDE than the network's that is the time of the same noise, or the SDE's own t_min if that is later.
    """
    trained, sde, t_min = sampler.experiment.sde, sampler.sde, sampler.experiment.config.evaluate.t_min
    if sampler.config.sde is None:
        return t_min
    assert isinstance(trained, LinearSDE)  # both, as `samplers.under` demands
    assert isinstance(sde, LinearSDE)
    least = float(sde.time_at(trained.log_snr(trained.t_min if t_min is None else t_min)))
    return least if t_min else max(least, float(sde.t_min))


class Edited(NamedTuple):
    """The frames `x` of every example, their network evaluations `nfe`, and the `seconds` of all, with compiling."""

    x: np.ndarray
    nfe: np.ndarray
    seconds: float


def _unlabelled(experiment: Experiment, edit: Edit) -> bool:
    """Returns whether the edit is of no label: `sample.label` says so, or each example has its own, and a pair two of them."""
    label = experiment.config.sample.label
    return label is None or (label == "each" and edit.pairs)


def edited_examples(experiment: Experiment, edit: Edit, data: Dataset) -> Batch:
    """The held-out examples of the rows, then the others of pairs; with labels if `sample.label` is each example's own."""
    config, sampler = experiment.config, sample_sampler(experiment)
    own = config.sample.label == "each" and not edit.pairs
    return data.held_out(config.edit.rows * (1 + edit.pairs), sampler.classes if own else 0)


def labels(experiment: Experiment, edit: Edit, examples: Batch) -> np.ndarray | None:
    """The label of each row, as `sample.label` says: one for all, or each example's own; None if there are none."""
    sampler = sample_sampler(experiment)
    if not sampler.classes or _unlabelled(experiment, edit):
        return None
    return sampler.labels(experiment.config.edit.rows) if examples.y is None else examples.y


def edit_examples(experiment: Experiment, params: Any, edit: Edit, examples: Batch, towards: Any = None) -> Edited:
    """The frames of the `edited_examples`; `towards`: the direction of the class that the edit names, if it does.

    NumericsError if one is not finite.
    """
    config, events = experiment.config, examples.levels
    sampler, rows = sample_sampler(experiment), config.edit.rows

    def one(params: Any, row: tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]) -> Frames:
        key, *levels, label = row
        example = Rows(key, label, None if edit.pairs else levels[0], sampler.caption)
        y = sampler.conditions(params, example)
        reverse = lambda transform=None: sampler.reverse(params, y, transform)

        def of(other: int | Mapping[str, Any]) -> Score:
            by_name = other if isinstance(other, Mapping) else sampler.conditions(params, example._replace(labels=other))
            return sampler.reverse(params, by_name).score

        codes = (experiment.code(params, key, k) for k in levels)
        frames = edit.one(Trained(reverse().score, of, reverse, y, towards), Row(key, *codes))
        by_frame = frames.x.reshape(-1, *experiment.code_shape)
        x = jax.vmap(partial(experiment.decode, params))(by_frame)
        return frames._replace(x=x.reshape(*frames.nfe.shape, *experiment.shape))

    keys = streams(config.sample.seed, Purpose.EDIT, rows)
    others = events[rows : 2 * rows] if edit.pairs else events[:rows]
    # At most evaluate.batch frames at once, in equal shares of the devices.
    count, frames = jax.device_count(), len(edit.lines) * len(edit.columns)
    at_once = count * min(-(-rows // count), max(1, config.evaluate.batch // (frames * count)))
    began = time.monotonic()
    inputs = keys, jnp.asarray(events[:rows]), jnp.asarray(others), labels(experiment, edit, examples)
    x, nfe, gave_up = devices.in_batches(devices.mapped(one), params, inputs, at_once)
    finite = np.isfinite(x).reshape(*x.shape[:3], -1).all(-1)
    if not finite.all():
        line, column = np.argwhere(~finite.all(0))[0]
        where = f"first {edit.columns[column]!r}" + (f" of {edit.lines[line]}" if edit.lines[line] else "")
        spent = f"; in {gave_up.sum()} examples a solver ran out of its max_steps" if gave_up.any() else ""
        label = config.sample.sampler
        remedy = (
            f"another --config.sample.sampler, more steps (--config.samplers.{label}.n)"
            if edit.sampled
            else "another --config.evaluate.tolerance or t_min"
        )
        raise NumericsError(
            [
                f"{(~finite).sum()} of {finite.size} frames are not finite, {where}{spent}",
                f"no picture is written; try {remedy}, or an earlier checkpoint ({PROGRAM} ckpt rollback RUN --step=N)",
            ]
        )
    return Edited(x, nfe * sampler.networks, time.monotonic() - began)
