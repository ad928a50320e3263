"""NCSN++ cont. (deep) under the VE-SDE: twice the blocks (score_sde's ve/cifar10_ncsnpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_deep_continuous_ve.py --workdir=runs/ncsnpp_deep_continuous_ve

Cost: 950,000 steps. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: FID 2.20, IS 9.89, with 2000 evaluations (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ncsnpp_continuous_ve


def get_config() -> ConfigDict:
    config = ncsnpp_continuous_ve.get_config()
    config.title = "NCSN++ cont., deep (VE)"
    base.deepen(config)
    return config
