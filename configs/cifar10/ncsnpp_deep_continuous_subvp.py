"""NCSN++ cont. (deep) under the sub-VP-SDE (score_sde's subvp/cifar10_ncsnpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_deep_continuous_subvp.py --workdir=runs/ncsnpp_deep_continuous_subvp

Cost: 950,000 steps. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: no figure of its own in tables 2 and 3, where NCSN++ is under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ncsnpp_continuous_subvp


def get_config() -> ConfigDict:
    config = ncsnpp_continuous_subvp.get_config()
    config.title = "NCSN++ cont., deep (sub-VP)"
    base.deepen(config)
    return config
