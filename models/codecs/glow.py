"""Glow (Kingma & Dhariwal 2018): couplings of channels that are mixed in between."""

from __future__ import annotations

from models.codec import Codec
from models.flows.actnorm import actnorm
from models.flows.coupling import coupling
from models.flows.mixing import mix
from models.flows.multiscale import multiscale
from models.flows.normalizing import normalizing
from models.flows.sequence import repeat, sequence
from models.ranges import Depth, Levels, Width
from sde_lib.base import Positive


def glow(levels: Levels = 1, steps: Depth = 8, width: Width = 64, c: Positive = 2.0) -> Codec:
    """A flow of `steps` of actnorm, 1x1 convolution and coupling at each of `levels` resolutions.

    CIFAR-10's has 3 levels of 32 steps and width 512. `width`, `c`: as of `coupling`; their code has e^s = sigmoid(s' + 2). Its
    learned Gaussian of the channels b that are done at a level, given the others a, is one more affine map of b given a: the
    last coupling of the level is that already.
    Raises ValueError, from `init`, if a side cannot be halved so often, or if there is one channel to couple.
    """
    step = sequence(actnorm(), mix(), coupling(width, c))
    return normalizing(multiscale(repeat(step, steps), levels))
