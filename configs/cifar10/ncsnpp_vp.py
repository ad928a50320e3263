"""NCSN++ on DDPM's table (score_sde's vp/cifar10_ncsnpp).

python -m experiments train --config=configs/cifar10/ncsnpp_vp.py --workdir=runs/ncsnpp_vp

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: no figure of its own in tables 2 and 3, where NCSN++ is under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "NCSN++ (VP)"
    base.ddpm(config)
    config.net = {"name": "NCSNpp", "embedding": "positional", "centre_input": False}
    return config
