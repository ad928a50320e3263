"""Guidance of a sampler, `samplers.<label>.guidance` in a config: each function makes one guided score from several.

`w`: the weight; w = 1 samples the class's own distribution, or that of all conditions. `interval`: the weight is w for noises
sigma_t/alpha_t above the first value and up to the second, and 1 elsewhere; None is all noises. `drop`: the conditions that are
guided to, as the unconditional score is without them: "label", "vector", "image" or "tokens", as in ("tokens",); () is all that
training drops. `run`: the folder of another trained run. `GUIDANCE` is the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le
from jaxtyping import Array

import samplers
from sde_lib.base import SDE, Event, Scalar, Score

__all__ = ["autoguidance", "classifier", "classifier_free"]

Strength = Annotated[Scalar, Ge(0), Le(1000)]
Interval = tuple[Annotated[float, Ge(0)], Annotated[float, Gt(0)]] | None
Names = tuple[Literal["label", "vector", "image", "tokens"], ...]
"""Names of conditions."""


class Guide(NamedTuple):
    """Another trained run that guides a sampler, by its score or as a classifier.

    `score(params, y)`: its score; or else `log_prob(params, x, t)` [classes]: log p(y | x_t) of every class y. One of the two
    is None. `classes`: the number of its labels, 0 if it has none, and their `names`. `params`: its parameters.
    """

    classes: int
    score: Callable[[Any, Any], Score] | None = None
    log_prob: Callable[[Any, Event, Scalar], Array] | None = None
    params: Any = None
    names: tuple[str, ...] = ()


class Params(NamedTuple):
    """A network's `own` parameters, those of its `guides` by their folders, its `codec`'s, and the learned ones of its `sde`.

    Of an SDE among several `sde` is the number. They are one argument of a program.
    """

    own: Any
    guides: dict[str, Any]
    codec: Any = ()
    sde: Any = ()


class Scores(NamedTuple):
    """The scores that guidance can combine, on `sde` and for one label and other conditions.

    `conditional`: the score given them. The others are functions that raise ValueError if there is no such score:
    `unconditional(*names)`, the one without the conditions of these names, or, of no names, without all that training drops;
    `weaker(run)`, another run's score given them; and `log_prob_y(run)`, its log p(label | x_t).
    """

    sde: SDE
    conditional: Score
    unconditional: Callable[..., Score]
    weaker: Callable[[str], Score]
    log_prob_y: Callable[[str], Callable[[Event, Scalar], Scalar]]


def classifier_free(scores: Scores, w: Strength = 2.0, interval: Interval = None, drop: Names = ()) -> Score:
    """Returns s_u + w (s_c - s_u) of one network that was trained with and without its conditions.

    `train.label_dropout` and `conditions.NAME.dropout` train it so; see `samplers.classifier_free`.
    """
    return samplers.classifier_free(scores.conditional, scores.unconditional(*drop), _weight(scores.sde, w, interval))


def autoguidance(scores: Scores, run: str, w: Strength = 2.0, interval: Interval = None) -> Score:
    """Returns s' + w (s - s'), where s' is the score of a weaker version of the network. Karras et al. (2024), eq. 3."""
    return samplers.classifier_free(scores.conditional, scores.weaker(run), _weight(scores.sde, w, interval))


def classifier(scores: Scores, run: str, w: Strength = 1.0, interval: Interval = None) -> Score:
    """Returns s_u + w grad log p(label | x_t) by a classifier of noisy examples, trained on its SDE (`samplers.classifier`).

    s_u is without the label alone: other conditions are the network's own.
    """
    return samplers.classifier(scores.unconditional("label"), scores.log_prob_y(run), _weight(scores.sde, w, interval))


def _weight(sde: SDE, w: Scalar, interval: Interval) -> Callable[[Scalar], Scalar]:
    low, high = interval or (0.0, math.inf)
    if low >= high:
        raise ValueError(f"interval = {interval}: give a lower and then a higher noise sigma_t/alpha_t")
    return samplers.guidance_interval(sde, w, low, high)


GUIDANCE = (autoguidance, classifier, classifier_free)
