"""One class of the digits, by adapters (LoRA) of the network that configs/digits/vp.py trained on all ten.

python -m experiments train --config=configs/digits/lora.py --workdir=runs/digits_three --config.lora.run=runs/digits_vp

A minute on one core. A classifier that is right on 99.4 % of held-out digits calls 12 % of the base's 1000 samples by `fast`
threes, and 95 % of these (98 % by `ancestral`). The adapters are 27,765 numbers, 121 kB, on a network of 163,985.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Threes, by adapters of the VP-SDE on 8x8 digits"
    config.data.only = (3,)
    config.lora = {"run": "runs/digits_vp", "rank": 4, "alpha": 16.0, "on": "all"}
    config.train.steps = 400
    config.train.sample_every = 400
    config.train.checkpoint_every = 400
    config.evaluate.features = "pixels"
    config.evaluate.likelihood = 32
    return config
