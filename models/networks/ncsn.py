"""NCSN (Song & Ermon 2019): a RefineNet whose every normalisation hears which rung of a ladder of noise it stands on."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions
from models.layers.affine import Images
from models.networks.refinenet import Pool, RefineNet
from models.ranges import Classes, Multipliers, Numbers, Width


class NCSN(nnx.Module):
    """refinenet(x, round(c_noise)), where c_noise counts the `rungs` noise levels from 0, the noisiest, to rungs - 1.

    It predicts the score itself. Song & Ermon (2019), app. A; `models.rung` is the c_noise, of the same number.
    The other arguments are those of `models.networks.refinenet.RefineNet`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 2, 2),
        dilations: tuple[Annotated[int, Ge(1), Le(64)], ...] = (2, 4),
        rungs: Annotated[int, Ge(2), Le(100_000)] = 10,
        pool: Pool = "mean",
        centre_input: bool = True,
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.rungs = rungs
        conditions = classes, vector, image
        self.net = RefineNet(shape, width, multipliers, dilations, pool, centre_input, rungs, *conditions, outputs, rngs=rngs)
        self.stages = self.net.stages

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        return self.net(x, jnp.clip(jnp.round(c_noise), 0, self.rungs - 1).astype(int), y)
