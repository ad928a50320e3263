"""EDM's training of score_sde's NCSN++ (consistency_models_cifar10's cifar10_k_ve).

python -m experiments train --config=configs/cifar10/ncsnpp_edm_jax.py --workdir=runs/ncsnpp_edm_jax

Cost: 400,000 steps of 512 images. 62.0 TFLOP a step: 7.3 days on four V100 at score_sde's rate.
Published: no figure; it is the teacher of consistency models, trained without augmentation but for flips.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ddpmpp_edm


def get_config() -> ConfigDict:
    config = ddpmpp_edm.get_config()
    config.title = "EDM (score_sde's NCSN++)"
    config.net = {
        "name": "NCSNpp",
        "multipliers": (2, 2, 2),
        "dropout": 0.13,
        "embedding": "fourier",
        "centre_input": False,
    }
    config.data.flip = True
    config.train.augment = 0.0
    config.train.steps = 400_000
    return config
