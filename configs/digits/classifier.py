"""A classifier of noisy 8x8 digits on the VP-SDE, to guide `configs/digits/vp.py` by.

python -m experiments train --config=configs/digits/classifier.py --workdir=runs/classifier
python -m experiments evaluate --config=configs/digits/classifier.py --workdir=runs/classifier

A guide needs the SDE of the run that it guides (the same --config.sde). Then, with a run of configs/digits/vp.py in runs/vp:

python -m experiments sample --config=configs/digits/vp.py --workdir=runs/vp --config.sample.label=3 \
    --config.samplers.ancestral.guidance.name=classifier --config.samplers.ancestral.guidance.run=runs/classifier
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Classifier of noisy digits (VP-SDE)"
    config.net = {"name": "Classifier", "classes": 10, "width": 16, "multipliers": (1, 2, 4), "blocks": 1, "dropout": 0.1}
    config.objective = {"name": "cross_entropy"}
    config.weight = None
    config.times = {"name": "importance"}
    config.train.steps = 1600
    return config
