"""The VP-SDE on hills: fields [32, 32, 1] of metres above the sea.

python -m experiments evaluate --config=configs/shipped/elevation.py --workdir=runs/elevation   (first the same with `train`)
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "VP-SDE on elevation"
    config.data = {"name": "jacksboro_elevation", "levels": 0, "standardise": "scalar", "flip": True}
    config.net = {"name": "DDPM", "width": 16, "multipliers": (1, 2, 2), "blocks": 1, "attention": (8,), "dropout": 0.0}
    config.parameterization = "v"
    config.train = {
        "steps": 2000,
        "batch": 32,
        "learning_rate": 1e-3,
        "decay": "cosine",
        "warm_up": 100,
        "ema": 0.995,
        "sample_every": 1000,
        "checkpoint_every": 1000,
    }
    config.samplers = base.samplers(64)
    config.evaluate = {"n": 240, "seeds": 2, "batch": 240, "likelihood": 60}
    return config
