"""DDPM++ on DDPM's table (score_sde's vp/cifar10_ddpmpp).

python -m experiments train --config=configs/cifar10/ddpmpp_vp.py --workdir=runs/ddpmpp_vp

Cost: 1.3 million steps. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: FID 2.78, IS 9.64, with 1000 evaluations (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "DDPM++"
    base.ddpm(config)
    config.net = {"name": "NCSNpp", "fir": False, "progressive_input": "none", "embedding": "positional"}
    return config
