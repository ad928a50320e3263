"""DDPM++ cont. (deep) under the VP-SDE: twice the blocks (score_sde's vp/cifar10_ddpmpp_deep_continuous).

python -m experiments train --config=configs/cifar10/ddpmpp_deep_continuous_vp.py --workdir=runs/ddpmpp_deep_continuous_vp

Cost: 950,000 steps. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: FID 2.41, IS 9.68, with 1000 evaluations; 3.13 bits/dim, FID 3.08 by the flow (Song et al. 2021, tables 2, 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_continuous_vp


def get_config() -> ConfigDict:
    config = ddpmpp_continuous_vp.get_config()
    config.title = "DDPM++ cont., deep (VP)"
    base.deepen(config)
    return config
