"""The published recipes of DDPM, NCSN and NCSN++ on MNIST, each with its own network, loss and sampler, scaled down for a CPU.

python -m experiments compare --config=configs/mnist/recipes.py --workdir=runs/mnist_recipes --config.data.data_dir=FOLDER

What is smaller: the networks (an eighth to a fifth of the width, few blocks), the training (600 steps of 32), and the samplers,
which take a quarter or less of their evaluations. What is not: SDE, noise levels, what the network predicts and hears, loss,
Adam, average, sampler. Twenty minutes on four cores; no figure was ever published for it. The deterministic samplers are left
out: networks so little trained have flows that end in noise for a third of the samples, by whatever solver.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpm, ncsn, ncsnpp_continuous_ve

SMALL = {"width": 24, "multipliers": (1, 2, 2), "blocks": 1, "attention": (7,)}
OWN = ("title", "sde", "parameterization", "conditioning", "objective", "times")


def get_config() -> ConfigDict:
    config = base.get_config()
    base.ddpm(config)
    config.samplers = {"published": config.samplers.published}
    config.title = "Published recipes on MNIST, small"
    config.data = {"name": "npz", "data_dir": "data", "train": "mnist_train", "test": "mnist_test"}
    config.train = {**config.train, "steps": 600, "batch": 32, "warm_up": 50, "log_every": 20, "sample_every": 600}
    config.train.checkpoint_every = 200
    config.evaluate = {"n": 128, "seeds": 1, "batch": 128, "features": "classifier", "likelihood": 0}
    config.arms = {
        "ddpm": arm(ddpm, SMALL, n=250),
        "ncsn": arm(ncsn, {"width": 16}, n=9, n_steps=20),
        "ncsnpp": arm(ncsnpp_continuous_ve, SMALL, n=99),
    }
    return config


def arm(recipe, smaller: dict, n: int, **step: int) -> dict:
    """What makes the recipe what it is, with a smaller network and a published sampler of n steps."""
    config = recipe.get_config().to_dict()
    published = config["samplers"]["published"]
    return {
        **{key: config[key] for key in OWN},
        "net": config["net"] | smaller,
        "data": {"range": config["data"].get("range", "symmetric")},
        "train": {key: config["train"][key] for key in ("learning_rate", "ema", "clip") if key in config["train"]},
        "samplers": {"published": published | {"n": n, "step": published["step"] | step}},
    }
