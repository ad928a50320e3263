"""DDPM++ cont. under the sub-VP-SDE (score_sde's subvp/cifar10_ddpmpp_continuous).

python -m experiments train --config=configs/cifar10/ddpmpp_continuous_subvp.py --workdir=runs/ddpmpp_continuous_subvp

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: FID 2.61, IS 9.56, with 1000 evaluations; 3.02 bits/dim, FID 3.16 by the flow (Song et al. 2021, tables 2, 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_vp


def get_config() -> ConfigDict:
    config = ddpmpp_vp.get_config()
    config.title = "DDPM++ cont. (sub-VP)"
    base.subvp(config)
    return config
