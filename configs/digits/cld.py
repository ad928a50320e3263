"""Critically damped Langevin diffusion of 8x8 digits: noise enters a velocity beside each pixel (Dockhorn et al. 2022).

python -m experiments train --config=configs/digits/cld.py --workdir=runs/digits_cld

What is learned is the score of the velocity, by hybrid score matching. Likelihood is by draws of the velocity at t = 0.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Critically damped Langevin diffusion of 8x8 digits"
    config.sde = {"name": "CLD"}
    even = {"grid": {"name": "log_snr_grid", "t_min": 1e-3}, "n": 64, "sweep": {"n": (16, 32)}}
    corrected = {"step": {"name": "euler_maruyama"}, "corrector": {"name": "langevin", "snr": 0.16}}
    solver = {"step": {"name": "probability_flow", "rtol": 1e-2, "atol": 1e-2}, "n": 1}
    config.samplers = {
        "sscs": {"step": {"name": "sscs"}, **even},
        "euler": {"step": {"name": "euler_maruyama"}, **even},
        "predictor_corrector": {**corrected, **even, "n": 32, "sweep": {"n": (8, 16)}},
        "heun": {"step": {"name": "heun"}, **even, "n": 32, "sweep": {"n": (8, 16)}},
        "probability_flow": {**solver, "grid": even["grid"], "sweep": {"rtol": (0.5, 0.1), "atol": (0.5, 0.1)}},
    }
    config.sample = {"sampler": "sscs"}
    config.evaluate.draws = 4
    return config
