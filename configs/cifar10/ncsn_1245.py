"""NCSN with techniques 1, 2, 4 and 5 of Song & Ermon (2020) (score_sde's ve/ncsn/cifar10_1245).

python -m experiments train --config=configs/cifar10/ncsn_1245.py --workdir=runs/ncsn_1245

Cost: 200,000 steps, as NCSN. 6.9 TFLOP a step: 10 hours on four V100 at score_sde's rate.
Published: no figure in table 3 of Song et al. (2021): an ablation of the earlier paper.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsn_124


def get_config() -> ConfigDict:
    config = ncsn_124.get_config()
    config.title = "NCSN, techniques 1, 2, 4, 5"
    config.train.ema = 0.999
    return config
