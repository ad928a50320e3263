"""DDPM's network under the discrete VE-SDE, which is SMLD's (score_sde's ve/cifar10_ddpm): what the SDE alone changes.

python -m experiments train --config=configs/cifar10/ddpm_ve.py --workdir=runs/ddpm_ve

Cost: 1.3 million steps. 4.3 TFLOP a step: 1.7 days on four V100 at score_sde's rate.
Published: no figure of its own in tables 2 and 3.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpm_score_sde


def get_config() -> ConfigDict:
    config = ddpm_score_sde.get_config()
    config.title = "DDPM's network, SMLD's noise"
    base.smld(config)
    config.net.centre_input = True
    return config
