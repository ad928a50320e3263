"""An experiment: the objects that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import losses
import models
import sde_lib
from experiments.config.guidance import Guide, Guided
from experiments.config.parts import classifies, learns_variance
from experiments.config.schema import Config
from experiments.data.scaler import Scaler


class Experiment(NamedTuple):
    """The objects that a config names, built for events of `shape`.

    `model`: a ScoreModel, or a ClassModel if the objective trains a classifier. `guides`: the runs that guide samplers, by
    their folders. `frozen`: (the base's parameters,) if the config has `lora`, else nothing. `names`: those of the labels, if
    they have names.
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
    names: tuple[str, ...] = ()

    def initial(self, key: Any) -> Any:
        """Returns the parameters that training begins with: the network's, or adapters to it."""
        x = jnp.zeros(self.shape)
        shapes = (jax.eval_shape(self.model.init, key, x),) if self.config.lora else ()
        return self.adapted(*shapes).model.init(key, x)

    def adapted(self, *frozen: Any) -> Experiment:
        """Returns the experiment as it is trained: if there are `frozen` parameters, its model is one of adapters to them.

        They are arguments here, although the experiment holds them, so that they are arguments of a compiled program too.
        """
        lora = self.config.lora
        if lora is None or not frozen:
            return self
        model = models.lora(self.model, frozen[0], lora.rank, lora.alpha, lora.on, lora.scale)
        return self._replace(model=model)

    def network(self, params: Any) -> Any:
        """Returns the parameters to sample and evaluate with, from the trained ones.

        Adapters are merged with their base; the parameters of guides are put beside.
        """
        lora = self.config.lora
        own = models.merged(self.frozen[0], params, lora.scale * lora.alpha / lora.rank) if lora else params
        return Guided(own, {run: guide.params for run, guide in self.guides.items()}) if self.guides else own

    @property
    def classes(self) -> int:
        """The number of classes that the network learns from; 0 if it learns from no labels."""
        return self.config.net.options.get("classes", 0)

    @property
    def has_unconditional(self) -> bool:
        """True if the network has learned a score without a label."""
        return not self.classes or self.config.train.label_dropout > 0

    def score(self, params: Any, key: Any = None, y: Any = None) -> sde_lib.Score:
        """Returns the network's score at `params`, given the label `y` (None: no label); `key` is for dropout."""
        return lambda x, t: self.model.apply(_own(params), x, t, y, key)

    def unconditional(self, params: Any) -> sde_lib.Score:
        """Returns the score without a label. Raises ValueError if the network has not learned it."""
        if not self.has_unconditional:
            raise ValueError("the network has learned no score without a label: train with train.label_dropout = 0.1")
        return self.score(params)

    def conditional(self, params: Any, y: Any) -> sde_lib.Score:
        """Returns the score given the label `y`, or the `unconditional` one if that is None."""
        return self.unconditional(params) if y is None else self.score(params, y=y)

    def log_prob(self, params: Any, x: Any, t: Any, key: Any = None) -> jax.Array:
        """Returns a classifier's log p(. | x_t = x) [classes]."""
        return self.model.apply(params, x, t, key)

    def loss(self, params: Any, key: Any, y: Any = None) -> losses.Loss:
        """Returns the objective at `params` for an example; `y`: its label, or its conditions by name; `key` is for dropout."""
        if classifies(self.config):
            return self.objective(self.sde, lambda x, t: self.log_prob(params, x, t, key)[y])
        evaluate = self.model.with_variance if learns_variance(self.config) else self.model.apply
        return self.objective(self.sde, lambda x, t: evaluate(params, x, t, y, key))

    def variance(self, params: Any, y: Any = None) -> dict[str, Any]:
        """Returns {"v": the learned variance v(x, t) at `params`}, or nothing if none is learned: options of a step."""
        v = lambda x, t: self.model.with_variance(_own(params), x, t, y)[1]
        return {"v": v} if learns_variance(self.config) else {}


def _own(params: Any) -> Any:
    """The network's parameters, without those of guides."""
    return params.own if isinstance(params, Guided) else params
