"""DDPM as the VP-SDE on MNIST, from data_dir/mnist_train.npz and data_dir/mnist_test.npz (`image` [N, 28, 28] uint8, `label`).

python -m experiments train --config=configs/mnist/vp.py --workdir=runs/mnist_vp --config.data.data_dir=FOLDER

As `data prepare` or TFDS writes it: --config.data.name=mnist --config.data.train=train --config.data.test=test.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "DDPM (VP-SDE) on MNIST"
    config.data = {"name": "npz", "data_dir": "data", "train": "mnist_train", "test": "mnist_test", "dequantize": True}
    config.net = {"name": "DDPM", "width": 32, "multipliers": (1, 2, 2), "blocks": 1, "attention": (7,), "dropout": 0.1}
    config.parameterization = "v"
    config.train = {
        "steps": 20_000,
        "batch": 128,
        "learning_rate": 5e-4,
        "warm_up": 500,
        "decay": "cosine",
        "ema": 0.999,
        "sample_every": 1000,
        "checkpoint_every": 1000,
    }
    config.evaluate = {"features": "classifier"}
    return config
