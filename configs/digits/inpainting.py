"""Inpainting of 8x8 digits by a network that hears which pixels are seen, on the VP-SDE.

python -m experiments train --config=configs/digits/inpainting.py --workdir=runs/inpainting
python -m experiments sample runs/inpainting --config.sample.sampler=fast

A quarter of the examples are wholly masked, so that the network draws digits without any condition too. Each sample stands
beside what it was to complete.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Inpainting of 8x8 digits"
    config.conditions = {"image": {"name": "mask", "dropout": 0.25}}
    return config
