"""The conditions that stand beside samples: images in one picture with them, and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.conditions import is_captions
from experiments.build.sampler import BoundSampler, Rows
from experiments.conditions.text import text_of
from experiments.config.parts import autoencodes


class Beside(NamedTuple):
    """The conditions of the first k samples, if there are any: images as `levels` [k, H, W, C], and `captions` [k]."""

    levels: np.ndarray | None = None
    captions: tuple[str, ...] = ()

    def first(self, n: int) -> Beside:
        """Returns those of the first n samples."""
        return Beside(None if self.levels is None else self.levels[:n], self.captions[:n])

    def and_then(self, other: Beside) -> Beside:
        """Returns those of these samples and of the others that follow."""
        both = None if self.levels is None or other.levels is None else np.concatenate([self.levels, other.levels])
        return Beside(both, self.captions + other.captions)


def beside(sampler: BoundSampler) -> Callable[[Any, Rows, int], Beside]:
    """Returns the function (params, rows, most) -> Beside of at most so many of the first rows.

    Of an image condition it shows the last channels, as many as the example has, or the only one in each of them; of a code the
    example itself, if it is an image.
    """
    experiment = sampler.experiment
    channels, is_image = experiment.shape[-1], len(experiment.shape) == 3
    conditions = jax.jit(jax.vmap(sampler.conditions, (None, 0)))

    def of(params: Any, rows: Rows, most: int) -> Beside:
        if not experiment.conditions:
            return Beside()
        y = conditions(params, jax.tree.map(lambda a: a[:most], rows))
        image, tokens = y.get("image"), y.get("tokens")
        levels, captions = None, ()
        if image is not None and is_image:
            visible = jnp.broadcast_to(image[..., -channels:], (*image.shape[:-1], channels))
            levels = np.asarray(experiment.scaler.decode(visible))
        elif autoencodes(experiment.config) and is_image and rows.levels is not None:
            levels = np.asarray(rows.levels[:most])
        if tokens is not None and is_captions(experiment.config):
            captions = tuple(map(text_of, np.asarray(tokens)))
        return Beside(levels, captions)

    return of
