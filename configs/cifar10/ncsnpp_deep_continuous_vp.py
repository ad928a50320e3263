"""NCSN++ cont. (deep) under the VP-SDE (score_sde's vp/cifar10_ncsnpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_deep_continuous_vp.py --workdir=runs/ncsnpp_deep_continuous_vp

Cost: 950,000 steps. @@
Published: no figure of its own in tables 2 and 3, which give NCSN++ under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsnpp_continuous_vp


def get_config() -> ConfigDict:
    config = ncsnpp_continuous_vp.get_config()
    config.title = "NCSN++ cont., deep (VP)"
    config.net.blocks = 8
    config.train.steps = 950_000
    return config
