"""NCSN++ cont. (deep) under the VP-SDE (score_sde's vp/cifar10_ncsnpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_deep_continuous_vp.py --workdir=runs/ncsnpp_deep_continuous_vp

Cost: 950,000 steps. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: no figure of its own in tables 2 and 3, where NCSN++ is under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ncsnpp_continuous_vp


def get_config() -> ConfigDict:
    config = ncsnpp_continuous_vp.get_config()
    config.title = "NCSN++ cont., deep (VP)"
    base.deepen(config)
    return config
