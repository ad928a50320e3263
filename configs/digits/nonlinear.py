"""A nonlinear SDE on 8x8 digits beside the VP-SDE, by the one sliced loss that both have, and by DDPM's, which VP has alone.

python -m experiments compare --config=configs/digits/nonlinear.py --workdir=runs/nonlinear
"""

from ml_collections import ConfigDict

from configs import base
from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "A nonlinear SDE on 8x8 digits"
    config.parameterization = "eps"
    config.objective = {"name": "ssm_vr", "n_steps": 50}
    config.samplers = base.samplers_of_any_sde(64)
    config.sample.sampler = "euler_maruyama"
    config.arms = {
        "logistic": {"title": "logistic SDE, sliced", "sde": {"name": "LogisticSDE"}},
        "vp": {"title": "VP-SDE, sliced", "sde": {"name": "VPSDE"}},
        "dsm": {"title": "VP-SDE, denoising", "sde": {"name": "VPSDE"}, "objective": {"name": "dsm"}},
    }
    return config
