"""The latent prior of a diffusion autoencoder: the VP-SDE of the codes of configs/digits/diffae.py, with an MLP.

python -m experiments train --config=configs/digits/diffae_prior.py --workdir=runs/digits_diffae_prior \
    --config.codec.run=runs/digits_diffae
"""

from ml_collections import ConfigDict

from configs.digits import diffae


def get_config() -> ConfigDict:
    config = diffae.get_config()
    config.title = "Latent prior of 8x8 digits"
    config.codec = {"run": "runs/digits_diffae", "standardise": "channel"}
    config.conditions = {}
    config.net = {"name": "MLP", "width": 128, "depth": 4}
    config.sigma_data = 1.0  # codes are standardised
    return config
