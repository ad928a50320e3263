"""The VP-SDE on two moons in the plane, with an MLP: under a minute on a CPU.

python -m experiments evaluate --config=configs/toy2d/moons.py --workdir=runs/moons   (first the same with `train`)

Other toys: --config.data.name=checkerboard, swiss_roll, gaussian_mixture.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "VP-SDE on two moons"
    config.data = {"name": "two_moons", "levels": 0}
    config.net = {"name": "MLP", "width": 128, "depth": 3}
    config.parameterization = "v"
    config.sigma_data = 0.7
    config.train = {
        "steps": 4000,
        "batch": 512,
        "learning_rate": 2e-3,
        "warm_up": 100,
        "decay": "cosine",
        "ema": 0.99,
        "steps_per_call": 10,
        "sample_every": 2000,
        "checkpoint_every": 2000,
    }
    config.sample.n = 2000
    config.evaluate = {"n": 2000, "likelihood": 500, "batch": 1000}
    return config
