"""ScoreFlow: DDPM++ cont. under VP, likelihood weighting, importance-sampled t (Song et al. 2021, MLE).

python -m experiments train --config=configs/cifar10/ddpmpp_scoreflow_vp.py --workdir=runs/ddpmpp_scoreflow_vp

Cost: 1.3 million steps, and 300,000 of the dequantiser. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: 2.83 bits/dim for the paper's best, which is deep; no figure is quoted here for this size.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_continuous_vp


def get_config() -> ConfigDict:
    config = ddpmpp_continuous_vp.get_config()
    config.title = "ScoreFlow (DDPM++, VP)"
    base.scoreflow(config, t_min=1e-5, flow_t_min=1e-3)
    return config
