"""Latent diffusion on MNIST: DDPM as the VP-SDE of the codes of configs/mnist/vae.py, which are kept on disk.

python -m experiments train --config=configs/mnist/latent.py --workdir=runs/mnist_latent --config.codec.run=runs/mnist_vae \
    --config.data.data_dir=FOLDER

Minutes on two cores: a step reads posteriors of 7 x 7 x 4 numbers, and evaluates no encoder.
"""

from ml_collections import ConfigDict

from configs.mnist import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Latent DDPM (VP-SDE) on MNIST"
    config.data.dequantize = False  # so that an example has one x, and one posterior
    config.codec = {"run": "runs/mnist_vae", "standardise": "channel", "cache": "codec"}
    config.net.update({"width": 48, "multipliers": (1,), "blocks": 2, "attention": (), "dropout": 0.0})
    config.train.update({"steps": 2000, "learning_rate": 1e-3, "warm_up": 100, "ema": 0.995, "log_every": 50})
    config.train.update({"sample_every": 2000, "checkpoint_every": 500})
    config.samplers = {name: config.samplers[name] for name in ("fast", "ancestral")}
    config.evaluate.update({"n": 500, "seeds": 2, "likelihood": 256})
    return config
