"""Rectified flow, which is flow matching on a straight path, on 8x8 digits, with t as Stable Diffusion 3 draws it.

python -m experiments train --config=configs/digits/rectified_flow.py --workdir=runs/rectified_flow

It has a score, as every other run: all samplers serve it. `euler` is Euler's method of the flow from t = 1 to 0.
"""

from ml_collections import ConfigDict

from configs.digits import vp

EULER = {"step": {"name": "ddim"}, "grid": {"name": "uniform_grid", "t_min": 0.0}, "n": 32, "sweep": {"n": (1, 2, 4, 8, 16)}}


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Rectified flow on 8x8 digits"
    config.sde = {"name": "RectifiedFlowSDE"}
    config.parameterization = "velocity"
    config.weight = {"name": "velocity"}
    config.times = {"name": "logit_normal", "unbiased": False}
    config.samplers.euler = EULER
    config.sample.sampler = "fast"
    return config
