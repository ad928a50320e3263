"""A VAE of MNIST: codes of 7 x 7 x 4, to be scored by configs/mnist/latent.py.

python -m experiments train --config=configs/mnist/vae.py --workdir=runs/mnist_vae --config.data.data_dir=FOLDER

Minutes on two cores. beta is below 1, so that the codes keep what their score will explain.
"""

from ml_collections import ConfigDict

from configs.digits import vae
from configs.mnist import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "VAE of MNIST"
    of_digits = vae.get_config()
    for key in ("codec", "objective", "weight", "net", "parameterization", "sigma_data"):
        config[key] = of_digits[key]
    size = {"width": 16, "multipliers": (1, 2, 4)}
    config.codec.encoder.update({"channels": 8, **size})
    config.codec.decoder.update(size)
    config.train.update({"steps": 1500, "batch": 64, "learning_rate": 2e-3, "warm_up": 100, "ema": 0.995, "log_every": 50})
    config.train.update({"sample_every": 1500, "checkpoint_every": 500})
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.evaluate.update({"n": 500, "seeds": 2, "likelihood": 256})
    return config
