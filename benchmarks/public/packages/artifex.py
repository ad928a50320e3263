# /// script
# requires-python = ">=3.12"
# dependencies = ["avitai-artifex==0.1.15", "scipy"]
# ///
"""artifex: a model of a config, with its backbone set to the exact one, as its guide samples."""

import jax
from artifex.generative_models.core.configuration import (
    DDIMConfig,
    DDPMConfig,
    NoiseScheduleConfig,
    ScoreDiffusionConfig,
    UNetBackboneConfig,
)
from artifex.generative_models.models.diffusion import DDIMModel, DDPMModel, ScoreDiffusionModel
from flax import nnx
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report

SHAPE = (4, 4, 3)
UNET = UNetBackboneConfig(
    name="unet", hidden_dims=(8,), activation="gelu", in_channels=3, out_channels=3, channel_mult=(1,), use_attention=False
)


class Exact(nnx.Module):
    def __init__(self, output):
        self.output = output

    def __call__(self, x, t, conditioning=None):
        return self.output(x, t)


def column(a):
    return a.reshape(-1, 1, 1, 1)


def model(kind, config, seed, **options):
    settings = config(
        name="model", backbone=UNET, noise_schedule=NoiseScheduleConfig(name="linear"), input_shape=SHAPE, **options
    )
    return kind(settings, rngs=nnx.Rngs(seed, sample=seed, noise=seed + 1))


def discrete(name, kind, config, draw_by, order=None, note="", steps=(100, 400), last=True, **options):
    def draw(law, n, steps, seed):
        batch = -(-n // 48)
        net = model(kind, config, seed, **options)
        level = lambda t: (column(net.sqrt_alphas_cumprod[t]), column(net.sqrt_one_minus_alphas_cumprod[t]))
        net.backbone = Exact(lambda x, t: law.noise(x, *level(t), jnp))
        start = jax.random.normal(nnx.Rngs(seed, sample=seed).sample(), (batch, *SHAPE))  # as its DDIM draws it
        at = lambda t: tuple(float(each.ravel()[0]) for each in level(jnp.array([t])))
        return Draws(draw_by(net, batch, steps), at(0) if last else (1.0, 0.0), start, at(999))

    return Sampler(name, draw, steps, order, note)


def score(law, n, steps, seed):
    net = model(ScoreDiffusionModel, ScoreDiffusionConfig, seed)

    def backbone(x, t):
        sigma = column(net._get_sigma(t))
        return sigma * law.score(sigma * x, jnp.ones_like(sigma), sigma, jnp)

    net.backbone = Exact(backbone)
    return Draws(net.sample(-(-n // 48), num_steps=steps), (1.0, float(net.sigma_min)))


SDE = (
    "bug: `ScoreDiffusionModel.sample` (models/diffusion/score.py) steps by sigma'/2 score dt + sqrt(2 sigma dt) z; the "
    "reverse SDE of its own sigma(t) steps by 2 sigma sigma' score dt + sqrt(2 sigma sigma' dt) z"
)

report(
    "avitai-artifex",
    [
        discrete("DDPM", DDPMModel, DDPMConfig, lambda net, n, steps: net.sample(n), steps=(1000,), last=False),
        discrete("DDPM's DDIM", DDPMModel, DDPMConfig, lambda net, n, steps: net.sample(n, "ddim", steps), 1, last=False),
        discrete("DDIM", DDIMModel, DDIMConfig, lambda net, n, steps: net.sample(n, steps=steps), 1),
        discrete("DDIM at eta 1", DDIMModel, DDIMConfig, lambda net, n, steps: net.sample(n, steps=steps), eta=1.0),
        Sampler("score-based", score, (250, 1000), note=SDE),
    ],
)
