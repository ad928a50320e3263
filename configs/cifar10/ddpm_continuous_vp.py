"""DDPM's network under the continuous VP-SDE (score_sde's vp/ddpm/cifar10_continuous).

python -m experiments train --config=configs/cifar10/ddpm_continuous_vp.py --workdir=runs/ddpm_continuous_vp

Cost: 1.3 million steps. 4.3 TFLOP a step: 1.7 days on four V100 at score_sde's rate.
Published: 3.21 bits/dim, FID 3.69 by the flow (Song et al. 2021, table 2).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpm_score_sde


def get_config() -> ConfigDict:
    config = ddpm_score_sde.get_config()
    config.title = "DDPM cont. (VP)"
    base.vp(config)
    return config
