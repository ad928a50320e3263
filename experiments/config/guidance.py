"""How a config guides a sampler, `samplers.<label>.guidance`: from the scores there are to one. `GUIDANCE` is the registry.

`w`: the weight, of which 1 is the class's own law, in `interval`, noises sigma_t/alpha_t from above the first to the second
(None: all of them); outside of it, 1. `run`: the folder of another trained run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Gt, Le
from jaxtyping import Array

import samplers
from sde_lib.base import Event, LinearSDE, Scalar, Score

__all__ = ["autoguidance", "classifier", "classifier_free"]

Strength = Annotated[Scalar, Ge(0), Le(1000)]
Interval = tuple[Annotated[float, Ge(0)], Annotated[float, Gt(0)]] | None


class Guide(NamedTuple):
    """What another trained run gives to a sampler: `score(params, y)`, or `log_prob(params, x, t)` [classes], log p(. | x_t).

    The other is None. `classes`: of its labels, 0 where it has none; `params`: its parameters.
    """

    classes: int
    score: Callable[[Any, Any], Score] | None = None
    log_prob: Callable[[Any, Event, Scalar], Array] | None = None
    params: Any = None


class Guided(NamedTuple):
    """A network's parameters, and by their folders those of the runs that guide its samplers: one argument of a program."""

    own: Any
    guides: dict[str, Any]


class Scores(NamedTuple):
    """What there is to guide by on `sde`: the score given the label, and by functions that raise where there is none

    `unconditional`: that of no label; `weaker`: another run's, given the label; `log_prob_y`: its log p(label | x_t).
    """

    sde: LinearSDE
    conditional: Score
    unconditional: Callable[[], Score]
    weaker: Callable[[str], Score]
    log_prob_y: Callable[[str], Callable[[Event, Scalar], Scalar]]


def classifier_free(scores: Scores, w: Strength = 2.0, interval: Interval = None) -> Score:
    """s_u + w (s_c - s_u) of one network, which was trained with `train.label_dropout`; `samplers.classifier_free`."""
    return samplers.classifier_free(scores.conditional, scores.unconditional(), _weight(scores.sde, w, interval))


def autoguidance(scores: Scores, run: str, w: Strength = 2.0, interval: Interval = None) -> Score:
    """s' + w (s - s') with s' of a network that is weaker in the same ways. Karras et al. (2024), eq. 3."""
    return samplers.classifier_free(scores.conditional, scores.weaker(run), _weight(scores.sde, w, interval))


def classifier(scores: Scores, run: str, w: Strength = 1.0, interval: Interval = None) -> Score:
    """s_u + w grad log p(y | x_t) by a classifier of noisy examples, trained on the same SDE; `samplers.classifier`."""
    return samplers.classifier(scores.unconditional(), scores.log_prob_y(run), _weight(scores.sde, w, interval))


def _weight(sde: LinearSDE, w: Scalar, interval: Interval) -> Callable[[Scalar], Scalar]:
    low, high = interval or (0.0, math.inf)
    if low >= high:
        raise ValueError(f"interval = {interval}: it is from a lower to a higher noise sigma_t/alpha_t")
    return samplers.guidance_interval(sde, w, low, high)


GUIDANCE = (autoguidance, classifier, classifier_free)
