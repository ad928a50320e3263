"""NCSN++ cont. under the VE-SDE (score_sde's ve/cifar10_ncsnpp_continuous).

python -m experiments train --config=configs/cifar10/ncsnpp_continuous_ve.py --workdir=runs/ncsnpp_continuous_ve

Cost: 1.3 million steps in 3 days on four V100 (0.20 s a step, score_sde). 7.8 TFLOP a step.
Published: FID 2.38, IS 9.83, with 2000 evaluations (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ncsnpp_ve


def get_config() -> ConfigDict:
    config = ncsnpp_ve.get_config()
    config.title = "NCSN++ cont. (VE)"
    base.ve(config)
    config.net.embedding = "fourier"
    return config
