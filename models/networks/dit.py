"""DiT, the diffusion transformer (Peebles & Xie 2023), on pixels or latents, over one, two or three axes of space."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Fields, Init, fan_avg, linear
from models.layers.block import Block, rematerialised
from models.layers.noise import Labels, NoiseConditioned, Timestep
from models.layers.norm import LayerNorm
from models.layers.pyramid import ANY
from models.layers.transformer import Attention, FeedForward, Tokens, patches, positions, unpatchify
from models.ranges import Classes, Depth, Numbers, Width


def _glorot(axes: int) -> Init:
    """Glorot's uniform, of one matrix from the pixels of a patch; as a convolution's, its outputs would count once for each."""
    return Init(nnx.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=tuple(range(axes + 1))))


class DiTBlock(Block):
    """h = x + g_1 attention((1 + a_1) norm(x) + b_1), then h + g_2 feed((1 + a_2) norm(h) + b_2): adaLN-Zero.

    [b_1, a_1, g_1, b_2, a_2, g_2] = W c, with W starting at zero, and so the block as the identity. Peebles & Xie (2023),
    sec. 3.2.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, *, rngs: nnx.Rngs):
        self.norm = LayerNorm(width, affine=False)
        # Glorot's uniform of the published q, k and v, one matrix [width, 3 width], has half the variance that each has alone.
        self.attention = Attention(width, heads, bias=True, start=fan_avg(0.5), last=fan_avg(), rngs=rngs)
        self.feed = FeedForward(width, int(mlp_ratio * width), gelu="tanh", init=fan_avg(), rngs=rngs)
        self.modulation = linear(width, 6 * width, init=fan_avg(0), rngs=rngs)

    @rematerialised
    def __call__(self, x: Tokens, c: Float[Array, "B D"]) -> Tokens:
        b_1, a_1, g_1, b_2, a_2, g_2 = jnp.split(self.modulation(c)[:, None], 6, axis=-1)
        h = x + g_1 * self.attention((1 + a_1) * self.norm(x) + b_1)
        return h + g_2 * self.feed((1 + a_2) * self.norm(h) + b_2)


class DiT(NoiseConditioned):
    """Blocks of attention over patches, which noise level and label scale and shift.

    `shape`: of an event, an image [H, W, C], or a signal [L, C] or a volume [D, H, W, C].
    `patch`: its side in pixels, along each axis; `width`: of a token, in `heads` slices; `depth`: in blocks; `mlp_ratio`: of
    the feed-forward layers' hidden width to `width`. The defaults are DiT-S/2; published as well are B (768, 12, 12), L (1024,
    24, 16) and XL (1152, 28, 16), in (width, depth, heads). Fixed waves encode the place of a patch, and c_noise counts t =
    0..999.
    `classes`: of the labels y; 0: none. `vector`, `image`: numbers and channels of these conditions of y; 0: none. `outputs`:
    images emitted, side by side along the channels (2: eps, and a variance, the published `learn_sigma`). The last layer starts
    at zero.
    Raises ValueError if the event is not whole patches, or the width not whole heads or waves.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: Annotated[int, Ge(1), Le(1024)] = 2,
        width: Width = 384,
        depth: Depth = 12,
        heads: Width = 6,
        mlp_ratio: Annotated[float, Gt(0), Le(64)] = 4.0,
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages, self.patch, self.image = (patches(shape, patch, width, depth, heads, axes=ANY),), patch, image
        axes = len(shape) - 1
        if width % (2 * axes):
            nearest = 2 * axes * max(1, round(width / (2 * axes)))
            raise ValueError(
                f"the width must be divisible by {2 * axes}, for sine and cosine along each axis, not {width}; take {nearest}"
            )
        noise = Init(nnx.initializers.normal(0.02))
        super().__init__(Timestep(256, rngs=rngs), 256, width, init=noise, rngs=rngs)
        self.labels = Labels(classes, width, rngs=rngs) if classes else None
        self.vector = linear(vector, width, bias=False, init=noise, rngs=rngs) if vector else None
        self.first = Conv(shape[-1] + image, width, size=patch, stride=patch, init=_glorot(axes), axes=axes, rngs=rngs)
        self.blocks = nnx.List([DiTBlock(width, heads, mlp_ratio, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, affine=False)
        self.modulation = linear(width, 2 * width, init=fan_avg(0), rngs=rngs)
        self.last = linear(width, patch**axes * outputs * shape[-1], init=fan_avg(0), rngs=rngs)

    def __call__(
        self,
        x: Fields,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Fields:
        (grid,) = self.stages
        y = by_name(y)
        label = None if self.labels is None else self.labels(y.get("label"))
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        c = self.condition(self.embed(c_noise).astype(x.dtype), label, vector)
        h = self.first(beside(x, y.get("image"), self.image)).reshape(len(x), -1, grid.channels)
        h = h + positions(*grid.sides, grid.channels).astype(x.dtype)
        for block in self.blocks:
            h = block(h, c)
        b, a = jnp.split(self.modulation(c)[:, None], 2, axis=-1)
        return unpatchify(self.last((1 + a) * self.norm(h) + b), grid, self.patch)
