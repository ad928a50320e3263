"""ScoreFlow: DDPM++ cont. under sub-VP, likelihood weighting, importance-sampled t (Song et al. 2021, MLE).

python -m experiments train --config=configs/cifar10/ddpmpp_scoreflow_subvp.py --workdir=runs/ddpmpp_scoreflow_subvp

Cost: 1.3 million steps, and 300,000 of the dequantiser. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: 2.83 bits/dim for the paper's best, which is deep; no figure is quoted here for this size.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_continuous_subvp


def get_config() -> ConfigDict:
    config = ddpmpp_continuous_subvp.get_config()
    config.title = "ScoreFlow (DDPM++, sub-VP)"
    base.scoreflow(config, t_min=1e-2, flow_t_min=1e-2)
    return config
