"""The requests of the page: samples of a sampler, or the unknown part of an image."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from experiments.config.schema import Seed, Strict
from experiments.page.program import STEPS

MOST = 1024
"""Samples at once."""


class Request(Strict):
    """A request for n samples of a sampler of the config.

    `eta`: of a step that takes one; `label` (None: none) and `w`: of a network with classes; `repeats`: of `resample`.
    """

    sampler: str
    steps: Annotated[int, Field(ge=1, le=STEPS)]
    n: Annotated[int, Field(ge=1, le=MOST)]
    seed: Seed
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    label: Annotated[int, Field(ge=0)] | None = None
    w: Annotated[float, Field(ge=0, le=20)] = 1.0
    repeats: Annotated[int, Field(ge=1, le=20)] = 1


class KnownPart(NamedTuple):
    """An image of `levels`, or floats, [H, W, C] that is known where `mask` [H, W, 1] is true."""

    levels: np.ndarray
    mask: np.ndarray
