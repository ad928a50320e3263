"""The VP-SDE on an average brain: volumes [16, 16, 16, 1] of magnetic resonance.

pip install onesde[shipped]
python -m experiments evaluate --config=configs/shipped/brain.py --workdir=runs/brain   (first the same with `train`)
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "VP-SDE on volumes of a brain"
    config.data = {"name": "brain", "levels": 0, "standardise": "scalar", "flip": True}
    config.net = {"name": "DDPM", "width": 8, "multipliers": (1, 2, 2), "blocks": 1, "attention": (), "dropout": 0.0}
    config.parameterization = "v"
    config.train = {
        "steps": 1000,
        "batch": 16,
        "learning_rate": 2e-3,
        "decay": "cosine",
        "warm_up": 100,
        "ema": 0.99,
        "sample_every": 500,
        "checkpoint_every": 500,
    }
    config.samplers = base.samplers(64)
    config.evaluate = {"n": 120, "seeds": 2, "batch": 120, "likelihood": 30}
    return config
