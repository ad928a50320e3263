"""Class-conditional DDPM, NCSN and sub-VP on MNIST, small: quality against the weight of classifier-free guidance.

python -m experiments compare --config=configs/mnist/conditional.py --workdir=runs/mnist_guided --config.data.data_dir=FOLDER

Three quarters of an hour on two cores. The objective depends on the noise level alone; docs/parts/objectives.md has the reason.
"""

from ml_collections import ConfigDict

from configs.digits import conditional
from configs.mnist import ddpm_vs_ncsn


def get_config() -> ConfigDict:
    config = ddpm_vs_ncsn.get_config()
    config.title = "Class-conditional MNIST"
    config.net.update({"width": 16, "attention": (), "dropout": 0.0, "classes": 10})
    config.sigma_data = 0.6
    config.train.update(
        {"steps": 3000, "batch": 64, "learning_rate": 2e-3, "warm_up": 100, "ema": 0.995, "label_dropout": 0.1, "log_every": 50}
    )
    config.train.update({"sample_every": 3000, "checkpoint_every": 500})
    guided = conditional.samplers(config.samplers)
    config.samplers = {"fast": guided["fast"], "fast_interval": guided["fast_interval"]}
    config.sample.sampler = "fast"
    config.evaluate.update({"n": 256, "seeds": 2, "batch": 128, "likelihood": 0, "noise_levels": 12})
    return config
