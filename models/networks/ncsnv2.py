"""NCSNv2 (Song & Ermon 2020): a RefineNet that does not hear the noise level, for its output is divided by it."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions
from models.layers.affine import Images
from models.networks.refinenet import Pool, RefineNet
from models.ranges import Classes, Multipliers, Numbers, Width


class NCSNv2(nnx.Module):
    """refinenet(x), whatever c_noise: it predicts sigma score, as `models.sigma_score` takes it to.

    Song & Ermon (2020), sec. 3.3. `multipliers` (1, 2, 2, 4, 4) are their network at 96 to 128 pixels, (1, 2, 2, 2, 4, 4) at
    256. The other arguments are those of `models.networks.refinenet.RefineNet`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 2, 2),
        dilations: tuple[Annotated[int, Ge(1), Le(64)], ...] = (2, 4),
        pool: Pool = "max",
        centre_input: bool = True,
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        conditions = classes, vector, image
        self.net = RefineNet(shape, width, multipliers, dilations, pool, centre_input, 0, *conditions, outputs, rngs=rngs)
        self.stages = self.net.stages

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        return self.net(x, None, y)
