"""The walk down and up a pyramid of resolutions that every U-Net here takes; each family says what happens on the way.

    down, per stage:  h <- level(h), `blocks` times;  h <- shrink(h), then `enter`, but after the last stage
    middle:           h <- middle2(middle1(h))
    up, per stage:    h <- level([h, skip]), `blocks + 1` times;  `leave`, then h <- grow(h), but after the last stage

Each h going down, the first included, is the skip of its mate going up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from models.layers.affine import Fields
from models.layers.noise import NoiseConditioned
from models.layers.pyramid import Stage
from models.layers.unet import Level, ResidualBlock

Visit = Callable[[int, Any, Fields], tuple[Any, Fields]]
"""(i, p, h) -> (p, h) at the i-th resolution of a way: h are features, p is an image or features beside them."""


class UNet(NoiseConditioned):
    """`lay` builds `down`, `shrink`, `middle1`, `middle2`, `up` and `grow`, and `walk` is their call."""

    def lay(
        self,
        stages: Sequence[Stage],
        channels: int,
        residual: Callable[[int, int], ResidualBlock],
        attend_to: Callable[[int], nnx.Module],
        resize: Callable[[int, Literal["up", "down"]], nnx.Module],
        attention_up: Literal["block", "level"],
        enter: Callable[[int], int] = lambda n: n,
        leave: Callable[[Stage], None] = lambda stage: None,
    ) -> int:
        """Builds the modules of the walk in its order, from `channels` after the first convolution; returns those at its end.

        `attention_up`: at a resolution with attention, going up, after each "block" or after the last of the "level". `enter`,
        of the channels at the end of a stage, and `leave` build what a family adds; `enter` returns the channels after it.
        """

        def level(channels_in: int, channels: int, attend: bool) -> Level:
            return Level(residual(channels_in, channels), attend_to(channels) if attend else None)

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
    ) -> tuple[Any, Fields]:
        """(p, h) at the end of the walk, from the h of the first convolution.

        `run(module, h)` calls a block at the noise level and with a key; `resize` does what changes the resolution, if `run`
        does not. `enter` comes after each halving, `leave` after the levels of each resolution going up.
        """
        resize = resize or run
        skips = [h]
        for i, levels in enumerate(self.down):
            for level in levels:
                h = run(level, h)
                skips.append(h)
            if i < len(self.shrink):
                p, h = enter(i, p, resize(self.shrink[i], h))
                skips.append(h)
        h = run(self.middle2, run(self.middle1, h))
        for i, levels in enumerate(self.up):
            for level in levels:
                h = run(level, jnp.concatenate([h, skips.pop()], axis=-1))
            p, h = leave(i, p, h)
            if i < len(self.grow):
                h = resize(self.grow[i], h)
        return p, h
