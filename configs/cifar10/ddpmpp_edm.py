"""EDM (Karras et al. 2022) with its DDPM++ network and its non-leaky augmentation.

python -m experiments train --config=configs/cifar10/ddpmpp_edm.py --workdir=runs/ddpmpp_edm

Cost: 200 million images, about 2 days on eight V100 (NVlabs/edm). 61.9 TFLOP a step: 7.2 days on four V100 at score_sde's rate.
Published: FID 1.97 with 35 evaluations, the least of three.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "EDM (DDPM++)"
    config.sde = {"name": "VESDE", "sigma_min": 0.002, "sigma_max": 80.0}
    config.parameterization = "edm"
    config.sigma_data = 0.5
    config.scale_input = True
    config.objective = {"name": "dsm", "half_sum": True}
    config.weight = {"name": "edm"}
    config.times = {"name": "log_normal", "mean": -1.2, "std": 1.2, "unbiased": False}
    config.net = {"name": "EDMUNet", "dropout": 0.13, "augment": 9}
    config.data.flip = False  # the augmentation does that
    # A ramp of 10 million images, an average with a half-life of half a million, and no clipping.
    batch = 512
    config.train = {
        **config.train,
        "batch": batch,
        "steps": 200_000_000 // batch,
        "learning_rate": 1e-3,
        "warm_up": 10_000_000 // batch,
        "clip": None,
        "ema": 0.5 ** (batch / 500_000),
        "augment": 0.12,
    }
    heun = {"step": {"name": "edm_heun"}, "grid": {"name": "karras_grid", "rho": 7.0}, "n": 17, "denoise": True}
    config.samplers = {"published": heun, **base.flow(0.0)}
    return config
