"""Residual flows (Chen et al. 2019): residual networks that can be inverted."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from models.codec import Codec
from models.flows.actnorm import actnorm
from models.flows.multiscale import multiscale
from models.flows.normalizing import normalizing
from models.flows.residual import residual
from models.flows.sequence import repeat, sequence
from models.ranges import Depth, Fraction, Levels, Width
from sde_lib.base import Count


def residual_flow(
    levels: Levels = 0,
    blocks: Depth = 8,
    width: Width = 64,
    lipschitz: Fraction = 0.98,
    exact: Annotated[int, Ge(0), Le(1024)] = 16,
    terms: Count = 2,
    stop: Fraction = 0.5,
) -> Codec:
    """A flow of `blocks` z = x + phi(x), each behind an actnorm, at each of `levels` resolutions.

    No half of the channels waits for another, and the density has no seams. `width`, `lipschitz`, `exact`, `terms`, `stop`: as
    of `residual`. Decoding iterates until nothing changes, the longer the closer `lipschitz` is to 1.
    Raises ValueError, from `init`, if a side cannot be halved so often.
    """
    step = sequence(actnorm(), residual(width, lipschitz, exact, terms, stop))
    return normalizing(multiscale(repeat(step, blocks), levels))
