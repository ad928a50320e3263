"""U-ViT, a transformer with a U-Net's skips (Bao et al. 2023), on pixels or latents."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Images, Init, linear, torch_default
from models.layers.noise import Labels, Timestep, summed
from models.layers.norm import LayerNorm
from models.layers.transformer import PreNormBlock, patches, unpatchify
from models.ranges import Classes, Depth, Numbers, Width

# Published as truncated at +-2, a hundred standard deviations.
_NORMAL = Init(nnx.initializers.normal(0.02))


class UViT(nnx.Module):
    """Attention over tokens of the label, the noise level and every patch alike; the first half of the blocks feeds the last.

    `patch`: its side in pixels; `width`: of a token, in `heads` slices; `depth`: in blocks, half of them down, one in the
    middle, half of them up; `mlp_ratio`: of the feed-forward layers' hidden width to `width`; `qkv_bias`: whether q, k and v
    have biases; `skip`: whether each block up also reads the output of its mate down; `final_conv`: a 3x3 convolution of the
    image at the end. Positions are learned, and c_noise counts t = 0..999. The defaults are U-ViT-S/2 of CIFAR-10, whose
    published depth of 12 leaves the middle block out; published as well are M (768, 17, 12), L (1024, 21, 16) and H (1152, 29,
    16), in (width, depth, heads). `classes`: of the labels y; 0: none (published counts take no label for one more).
    `vector`, `image`: numbers and channels of these conditions of y, of which the token of the noise level hears the vector; 0:
    none. `outputs`: images emitted, side by side along the channels (2: a score and its variance).
    Raises ValueError if the image is not whole patches, the width not whole heads or odd, or the depth even.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: Annotated[int, Ge(1), Le(1024)] = 2,
        width: Width = 512,
        depth: Depth = 13,
        heads: Width = 8,
        mlp_ratio: Annotated[float, Gt(0), Le(64)] = 4.0,
        qkv_bias: bool = False,
        final_conv: bool = True,
        skip: bool = True,
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages, self.patch, self.image = (patches(shape, patch, width, depth, heads),), patch, image
        if not depth % 2:
            raise ValueError(f"the depth counts a block in the middle and the pairs around it: odd, not {depth}")
        if width % 2:
            raise ValueError(f"the width must be even, for sine and cosine of the noise level, not {width}")

        def block(skip: bool) -> PreNormBlock:
            return PreNormBlock(width, heads, int(mlp_ratio * width), _NORMAL, qkv_bias, skip, rngs=rngs)

        (grid,) = self.stages
        self.first = Conv(shape[-1] + image, width, size=patch, stride=patch, init=torch_default(), rngs=rngs)
        self.embed = Timestep(width, rngs=rngs)
        self.labels = Labels(classes, width, rngs=rngs) if classes else None
        if self.labels is not None:
            self.labels.table[...] = jax.random.normal(rngs.params(), (classes + 1, width))  # torch's default, as published
        self.vector = linear(vector, width, bias=False, init=_NORMAL, rngs=rngs) if vector else None
        tokens = (1 if self.labels is None else 2) + grid.height * grid.width
        self.positions = nnx.Param(_NORMAL.kernel(rngs.params(), (tokens, width), jnp.float32))
        self.down = nnx.List([block(skip=False) for _ in range(depth // 2)])
        self.middle = block(skip=False)
        self.up = nnx.List([block(skip=skip) for _ in range(depth // 2)])
        self.norm = LayerNorm(width, eps=1e-5)
        channels = outputs * shape[-1]
        self.last = linear(width, patch**2 * channels, init=_NORMAL, rngs=rngs)
        self.conv = Conv(channels, channels, init=torch_default(), rngs=rngs) if final_conv else None

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        (grid,) = self.stages
        y = by_name(y)
        pixels = self.first(beside(x, y.get("image"), self.image)).reshape(len(x), -1, grid.channels)
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        tokens = [summed(self.embed(c_noise).astype(x.dtype), vector)[:, None], pixels]
        if self.labels is not None:
            labels = self.labels(y.get("label"))[:, None].astype(x.dtype)
            tokens.insert(0, jnp.broadcast_to(labels, tokens[0].shape))
        h = jnp.concatenate(tokens, axis=1) + self.positions[...].astype(x.dtype)

        skips = []
        for block in self.down:
            h = block(h)
            skips.append(h)
        h = self.middle(h)
        for block in self.up:
            h = block(h, skips.pop())
        image = unpatchify(self.last(self.norm(h[:, -pixels.shape[1] :])), grid, self.patch)
        return image if self.conv is None else self.conv(image)
