"""EDM (Karras et al. 2022) with its NCSN++ network and its non-leaky augmentation.

python -m experiments train --config=configs/cifar10/ncsnpp_edm.py --workdir=runs/ncsnpp_edm

Cost: 200 million images, about 2 days on eight V100 (NVlabs/edm). 62.4 TFLOP a step: 7.2 days on four V100 at score_sde's rate.
Published: FID 1.98 with 35 evaluations, the least of three.
"""

from ml_collections import ConfigDict

from configs.cifar10 import ddpmpp_edm


def get_config() -> ConfigDict:
    config = ddpmpp_edm.get_config()
    config.title = "EDM (NCSN++)"
    config.net = {
        **config.net,
        "embedding": "fourier",
        "encoder": "residual",
        "filter": (1, 3, 3, 1),
        "noise_multiplier": 2,
    }
    return config
