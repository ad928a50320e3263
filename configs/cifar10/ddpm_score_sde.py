"""DDPM as score_sde trains it: attention once per resolution going up (vp/ddpm/cifar10).

python -m experiments train --config=configs/cifar10/ddpm_score_sde.py --workdir=runs/ddpm_score_sde

Cost: 1.3 million steps. 4.3 TFLOP a step: 1.7 days on four V100 at score_sde's rate.
Published: FID 3.24, 3.28 bits/dim, FID 3.37 by the flow (Song et al. 2021, table 2).
"""

from ml_collections import ConfigDict

from configs.cifar10 import ddpm


def get_config() -> ConfigDict:
    config = ddpm.get_config()
    config.title = "DDPM (score_sde)"
    config.train.steps = 1_300_000
    config.net.attention_up = "level"
    del config.samplers["published"].step.clip
    return config
