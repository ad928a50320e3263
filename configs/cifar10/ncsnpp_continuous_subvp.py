"""NCSN++ cont. under the sub-VP-SDE (score_sde's subvp/cifar10_ncsnpp_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_continuous_subvp.py --workdir=runs/ncsnpp_continuous_subvp

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: no figure of its own in tables 2 and 3, where NCSN++ is under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ncsnpp_vp


def get_config() -> ConfigDict:
    config = ncsnpp_vp.get_config()
    config.title = "NCSN++ cont. (sub-VP)"
    base.subvp(config)
    return config
