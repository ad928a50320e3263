"""Latent diffusion on 8x8 digits: DDPM as the VP-SDE of the codes of configs/digits/vae.py.

python -m experiments train --config=configs/digits/latent.py --workdir=runs/digits_latent --config.codec.run=runs/digits_vae
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Latent DDPM (VP-SDE) on 8x8 digits"
    config.codec = {"run": "runs/digits_vae", "standardise": "channel"}
    config.net.update({"multipliers": (1, 2), "width": 32})
    config.sigma_data = 1.0  # codes are standardised
    return config
