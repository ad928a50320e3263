"""DDPM's network under the continuous sub-VP-SDE (score_sde's subvp/cifar10_ddpm_continuous).

python -m experiments train --config=configs/cifar10/ddpm_continuous_subvp.py --workdir=runs/ddpm_continuous_subvp

Cost: 1.3 million steps. 4.3 TFLOP a step: 1.7 days on four V100 at score_sde's rate.
Published: 3.05 bits/dim, FID 3.56 by the flow (Song et al. 2021, table 2).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpm_score_sde


def get_config() -> ConfigDict:
    config = ddpm_score_sde.get_config()
    config.title = "DDPM cont. (sub-VP)"
    base.subvp(config)
    return config
