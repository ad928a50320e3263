"""Reflow on 8x8 digits: a second flow, of straighter paths, learned from the pairs of noise and digits that a first one joins.

python -m experiments train --config=configs/digits/rectified_flow.py --workdir=runs/rectified_flow
python -m experiments train --config=configs/digits/reflow.py --workdir=runs/reflow --config.teacher.run=runs/rectified_flow
python -m experiments evaluate runs/reflow

Pairs are new in every step, at 17 evaluations of the first network. The flow has no score, so that no sampler draws noise.
"""

from ml_collections import ConfigDict

from configs.digits import rectified_flow


def get_config() -> ConfigDict:
    config = rectified_flow.get_config()
    config.title = "Reflow on 8x8 digits"
    config.objective = {"name": "reflow"}
    config.teacher = {"run": "runs/rectified_flow", "sampler": "fast"}
    config.times = {"name": "uniform"}
    config.samplers = {label: config.samplers[label] for label in ("fast", "euler", "probability_flow")}
    config.sample.sampler = "euler"
    config.evaluate.bound_times = 0
    return config
