"""Latent diffusion (Rombach et al. 2022), small: DDPM of the codes of configs/cifar10/kl_f4.py, which are kept on disk.

python -m experiments train --config=configs/cifar10/latent.py --workdir=runs/cifar10_latent --config.codec.run=runs/kl_f4

The noise levels are those of the published models of faces and bedrooms. A step reads posteriors, of images as they are and
mirrored, and evaluates no encoder.

Cost: minutes on two cores. 0.015 TFLOP a step.
Published: nothing of this size. LDM-4 on CelebA-HQ has an FID of 5.11 (the paper, table 1).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "Latent DDPM, small"
    base.ddpm(config)
    config.sde = {"name": "ddpm_table", "n": 1000, "beta_1": 0.0015, "beta_n": 0.0195, "power": 2.0}
    config.codec = {"run": "runs/kl_f4", "standardise": "scalar", "cache": "codec"}
    config.net = {"name": "DDPM", "width": 48, "multipliers": (1, 2), "blocks": 2, "attention": (), "dropout": 0.0}
    config.train.update({"steps": 3000, "batch": 64, "learning_rate": 1e-3, "warm_up": 100, "ema": 0.999})
    config.train.update({"log_every": 50, "sample_every": 3000, "checkpoint_every": 500})
    config.samplers["fast"].grid.log_snr_max = 6.0  # the table ends at 6.5
    config.sample.sampler = "fast"
    config.evaluate = {"n": 1000, "seeds": 1, "batch": 250, "likelihood": 0}
    return config
