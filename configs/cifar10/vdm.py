"""VDM (Kingma et al. 2021) with its fixed schedule: the likelihood bound, a network at full resolution throughout.

python -m experiments train --config=configs/cifar10/vdm.py --workdir=runs/vdm

Cost: 10 million steps on a TPU v3-8. 19.8 TFLOP a step: 58.6 days on four V100 at score_sde's rate.
Published: 2.65 bits/dim (table 1; 2.637 by its code), with a learned line for the schedule and biases that do not decay.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "VDM"
    config.sde = {"name": "LogLinearVPSDE"}
    config.parameterization = "residual_eps"
    config.conditioning = {"name": "time", "scale": 1000.0}
    config.weight = {"name": "likelihood"}
    config.data.flip = False
    config.net = {"name": "DDPM", "multipliers": (1,), "blocks": 32, "attention": (), "embedding": "positional"}
    config.net.waves = (7, 8)
    config.train = {**config.train, "steps": 10_000_000, "warm_up": 100, "clip": None, "beta2": 0.99, "weight_decay": 0.01}
    ancestral = {"step": "ancestral", "grid": "uniform_grid", "n": 1000}
    config.samplers = {"published": ancestral, **base.flow(0.0)}
    return config
