"""DDPM (Ho et al. 2020) with L_simple, attention after every block, as in hojonathanho/diffusion.

python -m experiments train --config=configs/cifar10/ddpm.py --workdir=runs/ddpm

Cost: 800,000 steps in 10.6 hours on a TPU v3-8 (the paper, app. B).
4.5 TFLOP a step: 1.1 days on four V100 at score_sde's rate.
Published: FID 3.17, IS 9.46, at most 3.75 bits/dim, with 1000 evaluations (table 1).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "DDPM"
    base.ddpm(config)
    config.net = {"name": "DDPM", "embedding": "positional"}
    config.samplers["published"].step.clip = 1.0
    config.train.steps = 800_000
    return config
