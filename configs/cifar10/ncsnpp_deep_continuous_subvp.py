"""NCSN++ cont. (deep) under the sub-VP-SDE (score_sde's subvp/cifar10_ncsnpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_deep_continuous_subvp.py --workdir=runs/ncsnpp_deep_continuous_subvp

Cost: 950,000 steps. @@
Published: no figure of its own in tables 2 and 3, which give NCSN++ under VE.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsnpp_continuous_subvp


def get_config() -> ConfigDict:
    config = ncsnpp_continuous_subvp.get_config()
    config.title = "NCSN++ cont., deep (sub-VP)"
    config.net.blocks = 8
    config.train.steps = 950_000
    return config
