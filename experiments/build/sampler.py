"""A sampler of a config, bound to an experiment: its SDE, its guided score, its step, its grid and its conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import samplers
import sde_lib
from experiments.build.experiment import Experiment
from experiments.config.classes import class_number, class_numbers
from experiments.config.guidance import Guide, Params, Scores
from experiments.config.parts import GRID, GUIDANCE, SDE, STEP
from experiments.config.schema import Sampler
from experiments.randomness import Purpose, streams
from models.conditions import without
from samplers.reverse import Reverse
from sde_lib.base import linear


class Rows(NamedTuple):
    """The `keys` [n] of n samples, and what their conditions are made of; each of these may be None.

    `labels` [n]: of their classes; `levels` [n, *event]: examples; `y`: conditions by name, each [n, ...], which take the place
    of those that are made.
    """

    keys: Any
    labels: Any = None
    levels: Any = None
    y: Mapping[str, Any] | None = None


class BoundSampler(NamedTuple):
    """A sampler's config and the experiment that it samples."""

    experiment: Experiment
    config: Sampler

    def at(self, params: Any) -> BoundSampler:
        """Returns the sampler of the experiment on the SDE of these parameters."""
        return self._replace(experiment=self.experiment.at(params))

    @property
    def sde(self) -> sde_lib.SDE:
        """The SDE that the sampler runs on: its own, or the one that the network was trained on."""
        named = self.config.sde
        return self.experiment.sde if named is None else SDE.build(named.name, **named.options)

    @property
    def _labelled(self) -> Experiment | Guide:
        """The network, or its guide if the network has no labels, and a guide is there."""
        guidance = self.config.guidance
        guide = self.experiment.guides.get(guidance.options.get("run", "")) if guidance else None
        return guide if guide and not self.experiment.classes else self.experiment

    @property
    def classes(self) -> int:
        """The number of classes that samples can be drawn from: the network's or its guide's; 0 if neither has labels."""
        return self._labelled.classes

    @property
    def names(self) -> tuple[str, ...]:
        """The names of these classes; none if they have no names."""
        return self._labelled.names

    @property
    def label(self) -> int | str | None:
        """The number of the class that `sample.label` asks for; "each", or None for no label."""
        label = self.experiment.config.sample.label if self.classes else None
        return label if label in (None, "each") else self.number(label)

    def number(self, label: int | str) -> int:
        """Returns the number of the class that is called `label`. Raises ValueError if there is no such class."""
        if not self.classes:
            raise ValueError("neither network nor guide has classes: take None")
        return class_number(label, self.classes, self.names)

    def grid(self, n: int | None = None) -> jax.Array:
        """Returns the times of n steps [n + 1], or of as many as the config says."""
        named = self.config.grid
        return GRID.build(named.name, self.sde, self.config.n if n is None else n, **named.options)

    def labels(self, n: int) -> np.ndarray | None:
        """Returns the label of each of n samples [n]; None if they have no label."""
        return self._labels(np.arange(n))

    def _labels(self, numbers: np.ndarray) -> np.ndarray | None:
        """The labels of the samples of these numbers; None if they have no label."""
        if self.label is None:
            return None
        examples = self.experiment.held_out
        if self.label == "each" and examples is not None and examples.y is not None:
            return examples.y[self._places(numbers)]
        each = class_numbers(self.experiment.config.data.only, self.experiment.names) or range(self.classes)
        return _in_turn(np.array(each if self.label == "each" else [self.label], np.int32), numbers)

    def rows(self, seed: int, n: int) -> Rows:
        """Returns the rows of n samples: key i is its own fold of the seed, and its conditions are as `sample` says."""
        return self.rows_of(streams(seed, Purpose.SAMPLE, n))

    def rows_of(self, keys: jax.Array, numbers: np.ndarray | None = None) -> Rows:
        """Returns the rows of samples with these keys [k], and the conditions of the first k, or of these `numbers` [k]."""
        numbers, examples = np.arange(len(keys)) if numbers is None else numbers, self.experiment.held_out
        levels = None if examples is None else examples.levels[self._places(numbers)]
        caption = {name: np.tile(tokens, (len(numbers), 1)) for name, tokens in self.caption.items()}
        return Rows(keys, self._labels(numbers), levels, caption or None)

    @property
    def caption(self) -> dict[str, Any]:
        """The tokens [L] of `sample.caption`, by their name; none if each sample has the caption of its class."""
        caption = self.experiment.config.sample.caption
        return {"tokens": self.experiment.tokens(caption)} if caption else {}

    def _places(self, numbers: np.ndarray) -> np.ndarray:
        """The places of the held-out examples that the conditions of the samples of these numbers come from."""
        examples = self.experiment.held_out
        assert examples is not None
        return _in_turn(np.array(self.experiment.config.sample.like or range(len(examples.levels))), numbers)

    def conditions(self, params: Any, row: Rows) -> dict[str, Any]:
        """Returns the conditions of the sample of one row, by name; `params`: for the network's encoder, if it has one."""
        experiment = self.experiment
        label = {} if row.labels is None else {"label": row.labels}  # which a guide may hear, if the network does not
        x = None if row.levels is None else experiment.scaler.place(row.levels, 0.5)
        return label | experiment.conditions_of(params, row.keys, x, row.labels) | dict(row.y or {})

    @property
    def any_conditions(self) -> dict[str, Any]:
        """Conditions to try the sampler with, each of those that its samples have as the number 0."""
        sample = self.experiment.config.sample
        label = {"label"} if self.classes and sample.label is not None else set()
        there = label | {"key", "x", "names"}
        own = {name for name, each in self.experiment.conditions.items() if each.needs <= there}
        return dict.fromkeys(label | own | self.caption.keys(), 0)

    @property
    def networks(self) -> int:
        """The number of network evaluations in one evaluation of the guided score, counted as it is traced on stand-ins."""
        guidance, evaluated = self.config.guidance, []
        if guidance is None:
            return 1

        def score(x: Any, t: Any) -> Any:
            evaluated.append(t)
            return x

        log_prob_y = lambda x, t: jnp.sum(score(x, t))
        scores = Scores(self.experiment.sde, score, lambda *names: score, lambda run: score, lambda run: log_prob_y)
        guided = GUIDANCE.build(guidance.name, scores, **guidance.options)
        jax.eval_shape(guided, jax.ShapeDtypeStruct(self.experiment.code_shape, jnp.float32), 0.5)
        return len(evaluated)

    def reverse(self, params: Any, y: Any = None, transform: Callable[[Any], Any] | None = None, **swept: Any) -> Reverse:
        """Returns what the sampler runs at `params` for the conditions `y`: by name, or those of the class of that number.

        `transform`: a further Score -> Score, applied to the guided score on the sampler's SDE. `swept`: replaces options of
        the step, and `w` of the guidance. A step with an option v, the variance, gets the learned one unless the config sets v.
        Raises ValueError if the sampler asks for a score or a variance that the experiment does not have.
        """
        label = {} if y is None or isinstance(y, Mapping) else {"label": y}
        y = {**label, **self.experiment.named(y)}
        score = self._guided(params, y, {"w": swept.pop("w")} if "w" in swept else {})
        config, sde = self.config, self.at(params).sde
        learned = self.experiment.variance(params, y) if STEP.takes(config.step.name, "v") else {}
        if config.sde is not None:
            if learned and "v" not in config.step.options:
                raise ValueError("the learned variance is of the SDE of training: give the step a v, as step.v = 0.0")
            score, learned = samplers.under(self.at(params).experiment.sde, score, sde), {}
        score = transform(score) if transform else score
        step = STEP.build(config.step.name, sde, score, **(learned | config.step.options | swept))
        if config.corrector is not None:
            step = samplers.chain(STEP.build(config.corrector.name, sde, score, **config.corrector.options), step)
        final = partial(linear(sde, "denoise", "take denoise = False").denoise, score) if config.denoise else None
        return Reverse(sde, score, step, final)

    def step(self, params: Any, y: Any = None, **swept: Any) -> samplers.Step:
        """Returns the step of `reverse`."""
        return self.reverse(params, y, **swept).step

    def _guided(self, params: Any, y: Mapping[str, Any], swept: dict[str, Any]) -> sde_lib.Score:
        """The score given the conditions, as the guidance changes it."""
        experiment, guidance = self.experiment, self.config.guidance
        conditional = experiment.conditional(params, y)
        if guidance is None:
            return conditional
        remedy = "sample.label to one" if self.classes else "net.classes"
        no_label = f"guidance {guidance.name} goes to a class: set {remedy}, or take guidance = None"
        without_any = f"guidance {guidance.name} goes to what samples are without: take another drop, or guidance = None"
        guide_params = params.guides if isinstance(params, Params) else dict.fromkeys(experiment.guides)

        def unconditional(*names: str) -> sde_lib.Score:
            learned = experiment.dropouts
            names = names or tuple(name for name, dropout in learned.items() if dropout) or tuple(learned)
            if not {*names} & y.keys():  # it would be the conditional one, and change nothing
                raise ValueError(no_label if {*names} <= {"label"} else without_any)
            return experiment.conditional(params, without(y, names))

        def weaker(run: str) -> sde_lib.Score:
            score = experiment.guides[run].score
            if score is None:
                raise ValueError(f"guidance.run = {run} is a classifier: autoguidance takes a score; take guidance classifier")
            return score(guide_params[run], y)

        def log_prob_y(run: str) -> Callable[..., Any]:
            log_prob = experiment.guides[run].log_prob
            if log_prob is None:
                raise ValueError(f"guidance.run = {run} is no classifier: train one with objective cross_entropy")
            if "label" not in y:
                raise ValueError(no_label)
            return lambda x, t: log_prob(guide_params[run], x, t)[y["label"]]

        scores = Scores(experiment.at(params).sde, conditional, unconditional, weaker, log_prob_y)
        return GUIDANCE.build(guidance.name, scores, **(guidance.options | swept))


def _in_turn(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The values of the samples of these numbers, which have them in turn."""
    return values[numbers % len(values)]


def bound_samplers(experiment: Experiment) -> dict[str, BoundSampler]:
    """Returns every sampler of the experiment's config, by its label."""
    return {label: BoundSampler(experiment, config) for label, config in experiment.config.samplers.items()}


def sample_sampler(experiment: Experiment) -> BoundSampler:
    """Returns the sampler that `sample.sampler` names."""
    return BoundSampler(experiment, experiment.config.samplers[experiment.config.sample.sampler])
