"""The VP-SDE on the weather of Seattle: signals [32, 3], a month of temperatures and wind.

pip install onesde[shipped]
python -m experiments evaluate --config=configs/shipped/weather.py --workdir=runs/weather   (first the same with `train`)
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "VP-SDE on a month of weather"
    config.data = {"name": "seattle_weather", "levels": 0, "standardise": "channel"}
    config.net = {"name": "DDPM", "width": 32, "multipliers": (1, 2), "blocks": 1, "attention": (16,)}
    config.parameterization = "v"
    config.train = {
        "steps": 3000,
        "batch": 64,
        "learning_rate": 1e-3,
        "decay": "cosine",
        "warm_up": 100,
        "ema": 0.995,
        "sample_every": 1500,
        "checkpoint_every": 1500,
    }
    config.samplers = base.samplers(64)
    config.evaluate = {"n": 296, "seeds": 2, "batch": 296, "likelihood": 100}
    return config
