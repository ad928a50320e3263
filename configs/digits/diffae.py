"""A diffusion autoencoder of 8x8 digits: a semantic code of 16 numbers, trained with the score that hears it (DiffAE).

python -m experiments train --config=configs/digits/diffae.py --workdir=runs/digits_diffae
python -m experiments interpolate runs/digits_diffae
python -m experiments edit runs/digits_diffae "--config.edit.by={'name': 'manipulate', 'label': 3}"

Samples are other digits of the codes of held-out ones. configs/digits/diffae_prior.py scores the codes, to draw new ones.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Diffusion autoencoder of 8x8 digits"
    config.conditions = {
        "vector": {"name": "PooledEncoder", "channels": 16, "width": 32, "multipliers": (1, 2, 2), "blocks": 1}
    }
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.evaluate.likelihood = 0  # p(x | the code of x) is no p(x)
    return config
