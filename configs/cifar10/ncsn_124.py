"""NCSN with techniques 1, 2 and 4 of Song & Ermon (2020): 232 noise levels from 50, 5 steps on each (ve/ncsn/cifar10_124).

python -m experiments train --config=configs/cifar10/ncsn_124.py --workdir=runs/ncsn_124

Cost: 200,000 steps, as NCSN. 6.9 TFLOP a step: 10 hours on four V100 at score_sde's rate.
Published: no figure in table 3 of Song et al. (2021): an ablation of the earlier paper.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsn


def get_config() -> ConfigDict:
    config = ncsn.get_config()
    config.title = "NCSN, techniques 1, 2, 4"
    config.sde.sigma_max = 50.0
    ncsn.ladder(config, rungs=232, snr=0.176, n_steps=5)
    return config
