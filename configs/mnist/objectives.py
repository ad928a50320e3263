"""One SDE, network, seed and budget on MNIST; only the training loss differs. Bits/dim of held-out digits. For a GPU.

python -m experiments compare --config=configs/mnist/objectives.py --workdir=runs/mnist_objectives --config.data.data_dir=FOLDER
"""

from ml_collections import ConfigDict

from configs.digits import objectives
from configs.mnist import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Training losses on MNIST"
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.arms = objectives.arms()
    return config
