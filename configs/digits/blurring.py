"""Blurring diffusion of 8x8 digits: noise, and a blur that is dissipation of heat (Hoogeboom & Salimans 2023).

python -m experiments train --config=configs/digits/blurring.py --workdir=runs/digits_blurring

x is the cosine code of an image, of which each frequency has a log-SNR of its own. The network sees the image.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Blurring diffusion of 8x8 digits"
    config.sde = {"name": "BlurringSDE", "sides": (8, 8), "blur_max": 5.0}
    config.codec = {"by": "cosine"}
    config.in_space = True
    return config
