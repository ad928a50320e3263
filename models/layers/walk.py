"""The walk down and up a pyramid of resolutions that every U-Net here takes; each family says what happens on the way.

    down, per stage:  h <- level(h), `blocks` times;  h <- shrink(h), then `enter`, but after the last stage
    middle:           h <- middle2(middle1(h))
    up, per stage:    h <- level([h, skip]), `blocks + 1` times;  `leave`, then h <- grow(h), but after the last stage

Each h going down, the first included, is the skip of its mate going up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from models.layers.affine import Fields, Init, linear
from models.layers.noise import NoiseConditioned
from models.layers.pyramid import Stage
from models.layers.text import Text
from models.layers.transformer import Tokens
from models.layers.unet import Level, ResidualBlock

Visit = Callable[[int, Any, Fields], tuple[Any, Fields]]
"""(i, p, h) -> (p, h) at the i-th resolution of a way: h are features, p is an image or features beside them."""


class UNet(NoiseConditioned):
    """`lay` builds `down`, `shrink`, `middle1`, `middle2`, `up` and `grow`, and `walk` is their call.

    `vector`: the numbers of this condition, which is added to c; `tokens`: the channels of the vectors that cross-attention
    reads; `vocabulary`: the number of characters, if the tokens are a text; 0: none. Raises ValueError for a text without
    channels.
    """

    def __init__(
        self,
        embed: nnx.Module,
        width: int,
        channels: int,
        init: Init | None = None,
        vector: int = 0,
        tokens: int = 0,
        vocabulary: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(embed, width, channels, init, rngs=rngs)
        if vocabulary and not tokens:
            raise ValueError(f"vocabulary = {vocabulary} is of a text, whose vectors need channels: take tokens = 128")
        self.vector = linear(vector, channels, bias=False, init=init, rngs=rngs) if vector else None
        self.text = Text(vocabulary, tokens, rngs=rngs) if vocabulary else None

    def read(self, y: Mapping[str, Any], dtype: Any) -> Tokens | None:
        """The tokens among the conditions y as vectors in `dtype`; None if there are none."""
        tokens = y.get("tokens")
        return None if tokens is None else (tokens if self.text is None else self.text(tokens)).astype(dtype)

    def lay(
        self,
        stages: Sequence[Stage],
        channels: int,
        residual: Callable[[int, int], ResidualBlock],
        attend_to: Callable[[int], nnx.Module | None],
        resize: Callable[[int, Literal["up", "down"]], nnx.Module],
        attention_up: Literal["block", "level"],
        cross_to: Callable[[int], nnx.Module | None] = lambda n: None,
        enter: Callable[[int], int] = lambda n: n,
        leave: Callable[[Stage], None] = lambda stage: None,
    ) -> int:
        """Builds the modules of the walk in its order, from `channels` after the first convolution; returns those at its end.

        `attention_up`: at a resolution with attention, going up, after each "block" or after the last of the "level".
        `cross_to`: the cross-attention that follows each self-attention, if there are tokens. `enter`, of the channels at the
        end of a stage, and `leave` build what a family adds; `enter` returns the channels after it.
        """

        def level(channels_in: int, channels: int, attend: bool) -> Level:
            block = residual(channels_in, channels)
            return Level(block, attend_to(channels), cross_to(channels)) if attend else Level(block, None)

        now, skips = channels, [channels]
        down, shrink, up, grow = [], [], [], []
        for stage in stages:
            levels = []
            for _ in range(stage.blocks):
                levels.append(level(now, stage.channels, stage.attention))
                now = stage.channels
                skips.append(now)
            down.append(nnx.List(levels))
            if stage is not stages[-1]:
                shrink.append(resize(now, "down"))
                now = enter(now)
                skips.append(now)

        self.middle1, self.middle2 = level(now, now, attend=True), residual(now, now)

        for stage in reversed(stages):
            levels = []
            for j in range(stage.blocks + 1):
                attend = stage.attention and (attention_up == "block" or j == stage.blocks)
                levels.append(level(now + skips.pop(), stage.channels, attend))
                now = stage.channels
            up.append(nnx.List(levels))
            leave(stage)
            if stage is not stages[0]:
                grow.append(resize(now, "up"))
        self.down, self.shrink, self.up, self.grow = (nnx.List(modules) for modules in (down, shrink, up, grow))
        return now

    def walk(
        self,
        h: Fields,
        run: Callable[[Any, Fields], Fields],
        resize: Callable[[Any, Fields], Fields] | None = None,
        p: Any = None,
        enter: Visit = lambda i, p, h: (p, h),
        leave: Visit = lambda i, p, h: (p, h),
        tokens: Tokens | None = None,
    ) -> tuple[Any, Fields]:
        """(p, h) at the end of the walk, from the h of the first convolution.

        `run(module, h)` calls a block at the noise level and with a key; `resize` does what changes the resolution, if `run`
        does not. `enter` comes after each halving, `leave` after the levels of each resolution going up. `tokens`: for the
        cross-attention of the levels.
        """
        resize = resize or run
        skips = [h]
        for i, levels in enumerate(self.down):
            for level in levels:
                h = level(h, run, tokens)
                skips.append(h)
            if i < len(self.shrink):
                p, h = enter(i, p, resize(self.shrink[i], h))
                skips.append(h)
        h = run(self.middle2, self.middle1(h, run, tokens))
        for i, levels in enumerate(self.up):
            for level in levels:
                h = level(jnp.concatenate([h, skips.pop()], axis=-1), run, tokens)
            p, h = leave(i, p, h)
            if i < len(self.grow):
                h = resize(self.grow[i], h)
        return p, h
