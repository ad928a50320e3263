"""NCSN++ on SMLD's ladder of 1000 noise levels (score_sde's ve/cifar10_ncsnpp).

python -m experiments train --config=configs/cifar10/ncsnpp_ve.py --workdir=runs/ncsnpp_ve

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: FID 2.45, IS 9.73, with 2000 evaluations (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "NCSN++"
    base.smld(config)
    config.net = {"name": "NCSNpp", "embedding": "positional", "centre_input": True}
    return config
