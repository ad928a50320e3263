"""Super-resolution of 8x8 digits from the means of 2 x 2 pixels, by a network that hears them, on the VP-SDE.

python -m experiments train --config=configs/digits/super_resolution.py --workdir=runs/super_resolution
python -m experiments sample runs/super_resolution --config.sample.sampler=fast
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Super-resolution of 8x8 digits"
    config.conditions = {"image": {"name": "low_resolution", "factor": 2, "dropout": 0.1}}
    return config
