"""ScoreFlow: DDPM++ cont. under VP, likelihood weighting, importance-sampled t (Song et al. 2021, MLE).

python -m experiments train --config=configs/cifar10/ddpmpp_scoreflow_vp.py --workdir=runs/ddpmpp_scoreflow_vp

Cost: 1.3 million steps, and 300,000 of the dequantiser. 7.8 TFLOP a step: 3.0 days on four V100 at score_sde's rate.
Published: 2.83 bits/dim is that of the paper's best, which is deep; this size's is not quoted here.
"""

from ml_collections import ConfigDict

from configs.cifar10 import base, ddpmpp_continuous_vp


def get_config() -> ConfigDict:
    config = ddpmpp_continuous_vp.get_config()
    config.title = "ScoreFlow (DDPM++, VP)"
    config.weight = {"name": "likelihood"}
    config.times = {"name": "importance", "t_min": 1e-5, "normalized": False}
    config.data.flip = False
    config.samplers = base.flow(1e-3)
    config.evaluate.t_min = 1e-5
    config.sample.sampler = "flow"
    config.evaluate.dequantizer = "variational"
    config.evaluate.dequantizer_steps = 300_000
    return config
