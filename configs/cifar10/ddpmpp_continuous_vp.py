"""DDPM++ cont. under the VP-SDE (score_sde's vp/cifar10_ddpmpp_continuous).

python -m experiments train --config=configs/cifar10/ddpmpp_continuous_vp.py --workdir=runs/ddpmpp_continuous_vp

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: FID 2.55, IS 9.58, with 1000 evaluations; 3.16 bits/dim, FID 3.93 by the flow (Song et al. 2021, tables 2, 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_vp


def get_config() -> ConfigDict:
    config = ddpmpp_vp.get_config()
    config.title = "DDPM++ cont. (VP)"
    base.vp(config)
    return config
