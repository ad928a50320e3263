"""Langevin dynamics towards a logistic law on two moons, by two objectives of drift and diffusion alone, beside the VP-SDE.

python -m experiments compare --config=configs/toy2d/nonlinear.py --workdir=runs/moons_nonlinear
"""

from ml_collections import ConfigDict

from configs import base
from configs.toy2d import moons


def get_config() -> ConfigDict:
    config = moons.get_config()
    config.title = "A nonlinear SDE on two moons"
    config.parameterization = "eps"
    config.objective = {"name": "ssm_vr", "n_steps": 50}
    config.samplers = base.samplers_of_any_sde(100)
    config.sample.sampler = "euler_maruyama"
    config.arms = {
        "logistic": {"title": "logistic SDE, sliced", "sde": {"name": "LogisticSDE"}},
        "paths": {
            "title": "logistic SDE, DiffFlow",
            "sde": {"name": "LogisticSDE"},
            "objective": {"name": "diffflow"},
            "weight": None,
        },
        "vp": {"title": "VP-SDE, sliced", "sde": {"name": "VPSDE"}},
    }
    return config
