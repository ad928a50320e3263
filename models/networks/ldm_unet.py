"""The U-Net of latent diffusion that reads a context (Rombach et al. 2022), and so Stable Diffusion's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name
from models.layers.affine import Conv, Images, fan_avg, torch_default
from models.layers.fir import repeated
from models.layers.noise import EMBEDDINGS, Labels
from models.layers.norm import GroupNorm
from models.layers.pyramid import pyramid
from models.layers.spatial_transformer import SpatialTransformer
from models.layers.transformer import Tokens
from models.layers.unet import ResidualBlock
from models.layers.walk import UNet
from models.networks.clip_text import HEAD, CLIPText
from models.ranges import Classes, Depth, Dropout, Multipliers, Numbers, Vocabulary, Width

EPS = 1e-5
DEFAULT = torch_default()


class LDMUNet(UNet):
    """Down and up a pyramid of resolutions, with skips between equals; transformers of pixels and a context at several of them.

    `width`, `multipliers`, `blocks`, `attention`, `heads`, `head_channels`, `dropout`, `embedding`, `outputs`: as of `ADM`. A
    transformer of `depth` blocks takes the place of its self-attention.
    `context`: the channels of the tokens that each reads beside the pixels, which are the condition "tokens" [B, L, context] of
    y, and with `classes` one more, a vector of the label; without a label (None, or the label `classes`) that is a vector, too.
    If y has no tokens, the context is one of zeros. `context` 0: there is none, and a second self-attention in its place.
    `tokens`: the channels of the condition, in the place of `context`, if they are not 0. `vocabulary`: 0, or tokens may be ids
    [B, length] below it, whose context are the states of a `CLIPText` of `text_depth` blocks and heads of 64 channels; ids that
    are all 0, and no tokens, are its empty text.
    `image`: the channels of the condition "image" [B, H, W, image] of y, which enters beside x; it is zero if it is absent.

    The defaults are Stable Diffusion 1's on latents [64, 64, 4], without its text encoder, of vocabulary 49408; the one for
    inpainting has `image` 5, a mask and the latent of what it leaves. Stable Diffusion 2: context 1024, head_channels 64.
    Text-to-image of 1.45 billion: context 1280. ImageNet: width 256, multipliers (1, 2, 4), attention (32, 16, 8), heads 1,
    context 512, classes 1000.
    Raises ValueError if the shape cannot be halved, an attention resolution never occurs, or heads do not divide channels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 320,
        multipliers: Multipliers = (1, 2, 4, 4),
        blocks: Depth = 2,
        attention: tuple[Width, ...] = (64, 32, 16),
        heads: Width = 8,
        head_channels: Numbers = 0,
        depth: Depth = 1,
        context: Numbers = 768,
        tokens: Numbers = 0,
        vocabulary: Vocabulary = 0,
        length: Width = 77,
        text_depth: Depth = 12,
        image: Numbers = 0,
        dropout: Dropout = 0.0,
        embedding: Literal["timestep", "sinusoidal", "positional", "fourier"] = "timestep",
        classes: Classes = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        context = tokens or context
        if classes and not context:
            raise ValueError(f"the {classes} classes are tokens of the context: its channels are not 0; take context = 512")
        if vocabulary and (context % HEAD or not context):
            raise ValueError(f"context = {context}: heads of {HEAD} channels read a text; take a multiple, or vocabulary = 0")
        self.stages, self.context, self.image = tuple(pyramid(shape, width, multipliers, blocks, attention)), context, image
        c, conv = 4 * width, partial(Conv, init=DEFAULT, rngs=rngs)
        # Torch's stride of 2 pads an even side before as well as after.
        halve = {"stride": 2, "padding": (1, 1)}
        super().__init__(EMBEDDINGS[embedding](width, rngs=rngs), width, c, init=DEFAULT, rngs=rngs)
        self.labels = Labels(classes, context, rngs=rngs) if classes else None
        if self.labels is not None:
            self.labels.table[...] = jax.random.normal(rngs.params(), (classes + 1, context))  # torch's default, as published
        text = partial(CLIPText, vocabulary=vocabulary, width=context, depth=text_depth, heads=context // HEAD)
        self.clip = text((length,), rngs=rngs) if vocabulary else None
        now = self.stages[0].channels
        self.first = conv(shape[-1] + image, now)
        left = self.lay(
            self.stages,
            now,
            residual=partial(ResidualBlock, embedding=c, dropout=dropout, project=False, init=DEFAULT, eps=EPS, rngs=rngs),
            attend_to=lambda n: None,
            cross_to=partial(
                SpatialTransformer, heads=heads, head_channels=head_channels, context=context, depth=depth, rngs=rngs
            ),
            resize=lambda n, way: conv(n, n, **(halve if way == "down" else {})),
            attention_up="block",
        )
        self.norm = GroupNorm(left, eps=EPS)
        self.last = Conv(left, outputs * shape[-1], init=fan_avg(0), rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        blocks = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(blocks))

        conditions = by_name(y)
        context = self.context_of(conditions, len(x))
        context = None if context is None else context.astype(x.dtype)
        c = self.condition(self.embed(c_noise).astype(x.dtype))
        x = beside(x, conditions.get("image"), self.image)

        def run(block: Any, h: Images) -> Images:
            return block(h, c, draw())

        def resize(conv: Conv, h: Images) -> Images:
            return conv(h if conv.stride == 2 else repeated(h))

        _, h = self.walk(self.first(x), run, resize, tokens=context)
        return self.last(nnx.silu(self.norm(h)))

    def context_of(self, conditions: Mapping[str, Any], n: int) -> Tokens | None:
        """The context of n examples: the tokens of y and that of its label, or one of zeros; None if the network has none."""
        if not self.context:
            return None
        tokens = conditions.get("tokens")
        if self.clip is not None and (tokens is None or tokens.ndim == 2):
            empty = self.clip.empty
            ids = jnp.zeros((n, len(empty)), int) if tokens is None else tokens
            if ids.shape[1] != len(empty):
                raise ValueError(f"a text has {ids.shape[1]} tokens, and the network reads length = {len(empty)} of them")
            tokens = self.clip(jnp.where(ids.any(-1, keepdims=True), ids, empty))
        tokens = [] if tokens is None else [tokens]
        if self.labels is not None:
            label = self.labels(conditions.get("label"))[:, None]
            tokens.append(jnp.broadcast_to(label, (n, 1, self.context)))
        return jnp.concatenate(tokens, axis=1) if tokens else jnp.zeros((n, 1, self.context))
