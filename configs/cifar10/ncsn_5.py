"""NCSN with technique 5 of Song & Ermon (2020), the moving average (score_sde's ve/ncsn/cifar10_5).

python -m experiments train --config=configs/cifar10/ncsn_5.py --workdir=runs/ncsn_5

Cost: 200,000 steps, as NCSN. 6.9 TFLOP a step: 10 hours on four V100 at score_sde's rate.
Published: no figure in table 3 of Song et al. (2021): an ablation of the earlier paper.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsn


def get_config() -> ConfigDict:
    config = ncsn.get_config()
    config.title = "NCSN, technique 5"
    config.train.ema = 0.999
    return config
