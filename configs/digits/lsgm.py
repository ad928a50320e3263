"""LSGM on 8x8 digits: a VAE and the VP-SDE of its codes, trained together (Vahdat et al. 2021).

python -m experiments train --config=configs/digits/lsgm.py --workdir=runs/digits_lsgm
"""

from ml_collections import ConfigDict

from configs.digits import latent, vae


def get_config() -> ConfigDict:
    config = latent.get_config()
    config.title = "LSGM on 8x8 digits"
    config.codec = vae.get_config().codec
    config.mixed = True
    config.times = {"name": "importance", "prior_variance": 1.0}
    return config
