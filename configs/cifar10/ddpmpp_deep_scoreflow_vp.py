"""ScoreFlow: DDPM++ cont. (deep) under VP, likelihood weighting, importance-sampled t (Song et al. 2021, MLE).

python -m experiments train --config=configs/cifar10/ddpmpp_deep_scoreflow_vp.py --workdir=runs/ddpmpp_deep_scoreflow_vp

Cost: 950,000 steps, and 300,000 of the dequantiser. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: 2.83 bits/dim for the best, deep, not augmented (the abstract), by a Flow++ dequantiser, where ours is smaller.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_deep_continuous_vp


def get_config() -> ConfigDict:
    config = ddpmpp_deep_continuous_vp.get_config()
    config.title = "ScoreFlow (DDPM++, deep, VP)"
    config.weight = {"name": "likelihood"}
    config.times = {"name": "importance", "t_min": 1e-5, "normalized": False}
    config.data.flip = False
    config.samplers = base.flow(1e-3)
    config.evaluate.t_min = 1e-5
    config.sample.sampler = "flow"
    config.evaluate.dequantizer = "variational"
    config.evaluate.dequantizer_steps = 300_000
    return config
