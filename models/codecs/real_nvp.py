"""RealNVP (Dinh et al. 2017): affine couplings that take turns."""

from __future__ import annotations

from models.codec import Codec
from models.flows.actnorm import actnorm
from models.flows.coupling import coupling
from models.flows.mixing import flip
from models.flows.multiscale import multiscale
from models.flows.normalizing import normalizing
from models.flows.sequence import repeat, sequence
from models.ranges import Depth, Levels, Width
from sde_lib.base import Positive


def real_nvp(levels: Levels = 0, couplings: Depth = 8, width: Width = 64, c: Positive = 2.0) -> Codec:
    """A flow of `couplings` at each of `levels` resolutions, after each of which halves change places.

    At 0 levels it is for a vector, or for events of several channels. At each level the halves are first the colours of a
    checkerboard, see `squeeze`; the network meets them at half the resolution, where the paper's has zeros for the other
    colour. The batch normalisation there is `actnorm` here. `width`, `c`: as of `coupling`.
    Raises ValueError, from `init`, if a side cannot be halved so often, or if there is one channel to couple.
    """
    step = sequence(actnorm(), coupling(width, c), flip())
    return normalizing(multiscale(repeat(step, couplings), levels))
