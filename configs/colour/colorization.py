"""Colorization of CIFAR-10, small: colours for the mean over channels, by a network that hears it, on the VP-SDE.

python -m experiments data prepare cifar10 --from=cifar-10-binary.tar.gz
python -m experiments train --config=configs/colour/colorization.py --workdir=runs/colorization
python -m experiments sample runs/colorization --config.sample.sampler=fast
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Colorization of CIFAR-10"
    config.data = {"name": "cifar10", "flip": True}
    config.net = {"name": "DDPM", "width": 32, "multipliers": (1, 2, 2), "blocks": 1, "attention": (8,), "dropout": 0.0}
    config.conditions = {"image": {"name": "grey", "dropout": 0.1}}
    config.train.update({"steps": 20_000, "learning_rate": 5e-4, "warm_up": 1000, "ema": 0.999, "log_every": 100})
    config.train.update({"sample_every": 5000, "checkpoint_every": 2500})
    config.evaluate.update({"n": 1000, "likelihood": 64})
    return config
