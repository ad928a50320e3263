"""A sampler of a config, bound to an experiment: its SDE, its guided score, its step, its grid and its labels."""

from __future__ import annotations

from collections.abc import Callable
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
from samplers.reverse import Reverse


class Rows(NamedTuple):
    """The `keys` [n] of n samples, and their `labels` [n]; None if they have no label."""

    keys: Any
    labels: Any = None


class BoundSampler(NamedTuple):
    """A sampler's config and the experiment that it samples."""

    experiment: Experiment
    config: Sampler

    @property
    def sde(self) -> sde_lib.LinearSDE:
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
        if self.label is None:
            return None
        each = class_numbers(self.experiment.config.data.only, self.experiment.names) or range(self.classes)
        return np.resize(np.array(each if self.label == "each" else [self.label], np.int32), n)

    def rows(self, seed: int, n: int) -> Rows:
        """Returns the rows of n samples: key i is its own fold of the seed, and label i is as `sample.label` says."""
        return Rows(streams(seed, Purpose.SAMPLE, n), self.labels(n))

    @property
    def any_label(self) -> int | None:
        """A label to try the sampler with; None if it samples without."""
        return 0 if self.classes and self.experiment.config.sample.label is not None else None

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
        scores = Scores(self.experiment.sde, score, lambda: score, lambda run: score, lambda run: log_prob_y)
        guided = GUIDANCE.build(guidance.name, scores, **guidance.options)
        jax.eval_shape(guided, jax.ShapeDtypeStruct(self.experiment.code_shape, jnp.float32), 0.5)
        return len(evaluated)

    def reverse(self, params: Any, y: Any = None, transform: Callable[[Any], Any] | None = None, **swept: Any) -> Reverse:
        """Returns what the sampler runs at `params` for the label `y`.

        `transform`: a further Score -> Score, applied to the guided score on the sampler's SDE. `swept`: replaces options of
        the step, and `w` of the guidance. A step with an option v, the variance, gets the learned one unless the config sets v.
        Raises ValueError if the sampler asks for a score or a variance that the experiment does not have.
        """
        score = self._guided(params, y, {"w": swept.pop("w")} if "w" in swept else {})
        config, sde = self.config, self.sde
        learned = self.experiment.variance(params, y) if STEP.takes(config.step.name, "v") else {}
        if config.sde is not None:
            if learned and "v" not in config.step.options:
                raise ValueError("the learned variance is of the SDE of training: give the step a v, as step.v = 0.0")
            score, learned = samplers.under(self.experiment.sde, score, sde), {}
        score = transform(score) if transform else score
        step = STEP.build(config.step.name, sde, score, **(learned | config.step.options | swept))
        if config.corrector is not None:
            step = samplers.chain(STEP.build(config.corrector.name, sde, score, **config.corrector.options), step)
        return Reverse(sde, score, step, partial(sde.denoise, score) if config.denoise else None)

    def step(self, params: Any, y: Any = None, **swept: Any) -> samplers.Step:
        """Returns the step of `reverse`."""
        return self.reverse(params, y, **swept).step

    def _guided(self, params: Any, y: Any, swept: dict[str, Any]) -> sde_lib.Score:
        """The score given the label, as the guidance changes it."""
        experiment, guidance = self.experiment, self.config.guidance
        conditional = experiment.conditional(params, y)
        if guidance is None:
            return conditional
        remedy = "sample.label to one" if self.classes else "net.classes"
        no_label = f"guidance {guidance.name} goes to a class: set {remedy}, or take guidance = None"
        guide_params = params.guides if isinstance(params, Params) else dict.fromkeys(experiment.guides)

        def unconditional() -> sde_lib.Score:
            if y is None:  # it would be the conditional one, and change nothing
                raise ValueError(no_label)
            return experiment.unconditional(params)

        def weaker(run: str) -> sde_lib.Score:
            score = experiment.guides[run].score
            if score is None:
                raise ValueError(f"guidance.run = {run} is a classifier: autoguidance takes a score; take guidance classifier")
            return score(guide_params[run], y)

        def log_prob_y(run: str) -> Callable[..., Any]:
            log_prob = experiment.guides[run].log_prob
            if log_prob is None:
                raise ValueError(f"guidance.run = {run} is no classifier: train one with objective cross_entropy")
            if y is None:
                raise ValueError(no_label)
            return lambda x, t: log_prob(guide_params[run], x, t)[y]

        scores = Scores(experiment.sde, conditional, unconditional, weaker, log_prob_y)
        return GUIDANCE.build(guidance.name, scores, **(guidance.options | swept))


def bound_samplers(experiment: Experiment) -> dict[str, BoundSampler]:
    """Returns every sampler of the experiment's config, by its label."""
    return {label: BoundSampler(experiment, config) for label, config in experiment.config.samplers.items()}


def sample_sampler(experiment: Experiment) -> BoundSampler:
    """Returns the sampler that `sample.sampler` names."""
    return BoundSampler(experiment, experiment.config.samplers[experiment.config.sample.sampler])
