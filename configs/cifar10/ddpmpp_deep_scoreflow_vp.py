"""ScoreFlow: DDPM++ cont. (deep) under VP, likelihood weighting, importance-sampled t (Song et al. 2021, MLE).

python -m experiments train --config=configs/cifar10/ddpmpp_deep_scoreflow_vp.py --workdir=runs/ddpmpp_deep_scoreflow_vp

Cost: 950,000 steps, and 300,000 of the dequantiser. 13.3 TFLOP a step: 3.7 days on four V100 at score_sde's rate.
Published: 2.83 bits/dim for the best, deep, not augmented (the abstract), by a Flow++ dequantiser; ours is smaller.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_scoreflow_vp


def get_config() -> ConfigDict:
    config = ddpmpp_scoreflow_vp.get_config()
    config.title = "ScoreFlow (DDPM++, deep, VP)"
    base.deepen(config)
    return config
