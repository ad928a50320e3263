"""DDPM as the VP-SDE on scikit-learn's 8x8 digits.

python -m experiments train --config=configs/digits/vp.py --workdir=runs/digits_vp
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "DDPM (VP-SDE) on 8x8 digits"
    config.data = {"name": "digits", "levels": 17, "dequantize": True}
    config.net = {"name": "DDPM", "width": 16, "multipliers": (1, 2), "blocks": 1, "attention": (), "dropout": 0.0}
    config.parameterization = "v"
    config.sigma_data = 0.5
    config.train = {
        "steps": 1600,
        "batch": 64,
        "learning_rate": 2e-3,
        "decay": "cosine",
        "warm_up": 100,
        "ema": 0.995,
        "log_every": 50,
        "sample_every": 1600,
        "checkpoint_every": 800,
    }
    config.samplers = base.samplers(64)
    config.evaluate = {"n": 320, "seeds": 2, "batch": 320, "features": "classifier", "likelihood": 160}
    config.interpolate = {"t": 0.15}
    return config
