"""The objects that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import losses
import models
import samplers
import sde_lib
from experiments.config.guidance import Guide, Guided, Scores
from experiments.config.parts import (
    GRID,
    GUIDANCE,
    SDE,
    STEP,
    classifies,
    learns_variance,
    made,
    parameters,
)
from experiments.config.schema import Config, Sampler
from experiments.data.scaler import Scaler
from samplers.reverse import Reverse


class Experiment(NamedTuple):
    """What a config names, built for events of `shape`.

    `model`: a ScoreModel, or where the objective trains a classifier a ClassModel. `guides`: of the runs that samplers are
    guided by, by their folders. `frozen`: of a config with `lora`, (the base's parameters,).
    """

    config: Config
    shape: tuple[int, ...]
    sde: sde_lib.LinearSDE
    model: Any
    times: losses.TimeSampler
    objective: Callable[..., losses.Loss]
    scaler: Scaler
    guides: Mapping[str, Guide] = MappingProxyType({})
    frozen: tuple[Any, ...] = ()

    def initial(self, key: Any) -> Any:
        """The parameters that training begins with: the network's, or adapters of it."""
        x = jnp.zeros(self.shape)
        shapes = (jax.eval_shape(self.model.init, key, x),) if self.config.lora else ()
        return self.adapted(*shapes).model.init(key, x)

    def adapted(self, *frozen: Any) -> Experiment:
        """As it is trained: where there are `frozen` parameters the model is one of adapters to them.

        They are arguments, and not those that it has, so that they are arguments of a compiled program too.
        """
        lora = self.config.lora
        if lora is None or not frozen:
            return self
        model = models.lora(self.model, frozen[0], lora.rank, lora.alpha, lora.on, lora.scale)
        return self._replace(model=model)

    def network(self, params: Any) -> Any:
        """What is drawn and measured by, at parameters that are trained: adapters are merged with their base, guides beside."""
        lora = self.config.lora
        own = models.merged(self.frozen[0], params, lora.scale * lora.alpha / lora.rank) if lora else params
        return Guided(own, {run: guide.params for run, guide in self.guides.items()}) if self.guides else own

    @property
    def classes(self) -> int:
        """Of the labels that the network learns from; 0 where it learns from none."""
        return self.config.net.options.get("classes", 0)

    def score(self, params: Any, key: Any = None, y: Any = None) -> sde_lib.Score:
        """The network's score at `params`, given the label `y` (None: of no label); `key` for dropout."""
        return lambda x, t: self.model.apply(_own(params), x, t, y, key)

    def log_prob(self, params: Any, x: Any, t: Any, key: Any = None) -> jax.Array:
        """A classifier's log p(. | x_t = x) [classes]."""
        return self.model.apply(params, x, t, key)

    def loss(self, params: Any, key: Any, y: Any = None) -> losses.Loss:
        """The objective at `params`, with `key` for dropout, of an example with the label `y`."""
        if classifies(self.config):
            return self.objective(self.sde, lambda x, t: self.log_prob(params, x, t, key)[y])
        evaluate = self.model.with_variance if learns_variance(self.config) else self.model.apply
        return self.objective(self.sde, lambda x, t: evaluate(params, x, t, y, key))

    def learned(self, params: Any, y: Any = None) -> dict[str, Any]:
        """{"v": the variance v(x, t) at `params`} where one is learned, for what takes it."""
        v = lambda x, t: self.model.with_variance(_own(params), x, t, y)[1]
        return {"v": v} if learns_variance(self.config) else {}

    def reverse(
        self, sampler: Sampler, params: Any, y: Any = None, by: Callable[[Any], Any] | None = None, **swept: Any
    ) -> Reverse:
        """What the sampler runs at `params` for the label `y`; `swept` replaces options of its step, and `w` of its guidance.

        `by`: a further Score -> Score, of the guided score on the sampler's SDE.

        A step that takes a variance v, and is told none, gets the learned one where there is one.
        """
        score = self._guided(sampler, params, y, {"w": swept.pop("w")} if "w" in swept else {})
        make, sde = STEP.find(sampler.step.name), self.sde_of(sampler)
        learned = self.learned(params, y) if "v" in parameters(make) else {}
        if sampler.sde is not None:
            if learned and "v" not in sampler.step.options:
                raise ValueError("the learned variance is of the SDE of training: give the step a v, as step.v = 0.0")
            score, learned = samplers.under(self.sde, score, sde), {}
        score = by(score) if by else score
        step = made(STEP, sampler.step.name, make(sde, score, **(learned | sampler.step.options | swept)))
        if sampler.corrector is not None:
            step = samplers.chain(STEP.find(sampler.corrector.name)(sde, score, **sampler.corrector.options), step)
        return Reverse(sde, score, step, partial(sde.denoise, score) if sampler.denoise else None)

    def step(self, sampler: Sampler, params: Any, y: Any = None, **swept: Any) -> samplers.Step:
        """The step of `reverse`."""
        return self.reverse(sampler, params, y, **swept).step

    def sde_of(self, sampler: Sampler) -> sde_lib.LinearSDE:
        """The SDE that the sampler is on."""
        named = sampler.sde
        return self.sde if named is None else made(SDE, named.name, SDE.find(named.name)(**named.options))

    def grid(self, sampler: Sampler, n: int) -> jax.Array:
        """The sampler's grid of n steps."""
        return GRID.find(sampler.grid.name)(self.sde_of(sampler), n, **sampler.grid.options)

    def classes_of(self, sampler: Sampler) -> int:
        """Of the labels that the sampler goes by: the network's, or its guide's; 0 where neither knows of any."""
        guide = self.guides.get(sampler.guidance.options.get("run", "")) if sampler.guidance else None
        return self.classes or (guide.classes if guide else 0)

    def labels(self, sampler: Sampler, n: int) -> np.ndarray | None:
        """The label of each of n samples, as `sample.label` says; None where neither the network nor a guide knows of any."""
        classes, label = self.classes_of(sampler), self.config.sample.label
        if not classes or label is None:
            return None
        known = np.array(self.config.data.only or range(classes), np.int32)  # those that were trained
        return known[np.arange(n) % len(known)] if label == "each" else np.full(n, label, np.int32)

    def first_label(self, sampler: Sampler) -> Any:
        """The first of `labels`, to try a sampler with."""
        labels = self.labels(sampler, 1)
        return None if labels is None else labels[0]

    @property
    def goes_without(self) -> bool:
        """Whether the network has learned a score of no label."""
        return not self.classes or self.config.train.label_dropout > 0

    def unconditional(self, params: Any) -> sde_lib.Score:
        """The score of no label. ValueError where the network has not learned it."""
        if not self.goes_without:
            raise ValueError("the network has learned no score without a label: train with train.label_dropout = 0.1")
        return self.score(params)

    def conditional(self, params: Any, y: Any) -> sde_lib.Score:
        """The score given the label `y`, or where that is None the `unconditional` one."""
        return self.unconditional(params) if y is None else self.score(params, y=y)

    def _guided(self, sampler: Sampler, params: Any, y: Any, swept: dict[str, Any]) -> sde_lib.Score:
        """The score given the label as the sampler's guidance changes it."""
        conditional = self.conditional(params, y)
        if sampler.guidance is None:
            return conditional

        of_guides = params.guides if isinstance(params, Guided) else dict.fromkeys(self.guides)

        def weaker(run: str) -> sde_lib.Score:
            score = self.guides[run].score
            if score is None:
                raise ValueError(f"guidance.run = {run} is a classifier: autoguidance takes a score; take guidance classifier")
            return score(of_guides[run], y)

        def log_prob_y(run: str) -> Callable[..., Any]:
            log_prob = self.guides[run].log_prob
            if log_prob is None:
                raise ValueError(f"guidance.run = {run} is no classifier: train one with objective cross_entropy")
            if y is None:
                raise ValueError("guidance classifier goes to a class: set sample.label to one, or to each")
            return lambda x, t: log_prob(of_guides[run], x, t)[y]

        scores = Scores(self.sde, conditional, lambda: self.unconditional(params), weaker, log_prob_y)
        return GUIDANCE.find(sampler.guidance.name)(scores, **(sampler.guidance.options | swept))


def _own(params: Any) -> Any:
    """The network's parameters, without those of guides."""
    return params.own if isinstance(params, Guided) else params
