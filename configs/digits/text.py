"""8x8 digits from captions, "a handwritten three", read by a transformer that is trained with the score, on the VP-SDE.

python -m experiments train --config=configs/digits/text.py --workdir=runs/text
python -m experiments sample runs/text --config.sample.sampler=fast "--config.sample.caption=a handwritten three"

Cross-attention to the characters follows each self-attention; guidance goes to the caption.
"""

from ml_collections import ConfigDict

from configs.digits import conditional, vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "8x8 digits from captions"
    config.net.attention = (4,)
    config.conditions = {"tokens": {"name": "captions", "dropout": 0.1}}
    config.train.steps = config.train.sample_every = 2400
    config.samplers = conditional.samplers(config.samplers)
    config.sample.sampler = "fast"
    return config
