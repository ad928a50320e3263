"""DDPM++ cont. (deep) under the sub-VP-SDE (score_sde's subvp/cifar10_ddpmpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ddpmpp_deep_continuous_subvp.py --workdir=runs/ddpmpp_deep_continuous_subvp

Cost: 950,000 steps. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: FID 2.41, IS 9.57, with 1000 evaluations; 2.99 bits/dim, FID 2.92 by the flow (Song et al. 2021, tables 2, 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_continuous_subvp


def get_config() -> ConfigDict:
    config = ddpmpp_continuous_subvp.get_config()
    config.title = "DDPM++ cont., deep (sub-VP)"
    base.deepen(config)
    return config
