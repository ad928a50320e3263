"""NCSN (Song & Ermon 2019): ten noise levels, a RefineNet that knows the level, annealed Langevin dynamics.

python -m experiments train --config=configs/cifar10/ncsn.py --workdir=runs/ncsn

Cost: 200,000 steps. 6.9 TFLOP a step: 10 hours on four V100 at score_sde's rate.
Published: FID 25.32, IS 8.87, with 10 x 100 evaluations; ours leaves out the first 100 (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.title = "NCSN"
    base.ve(config)
    config.sde.sigma_max = 1.0
    config.net = {"name": "NCSN"}
    config.parameterization = "score"
    config.train = {**config.train, "steps": 200_000, "learning_rate": 1e-3, "warm_up": 0, "clip": None, "ema": 0.0}
    ladder(config, rungs=10, snr=0.316, n_steps=100)
    return config


def ladder(config: ConfigDict, rungs: int, snr: float, n_steps: int) -> None:
    """`rungs` noise levels, which the network knows by number, and Langevin dynamics on each, of step_lr 2 (snr sigma_min)^2.

    Samples start on the noisiest level, and so the dynamics begin on the second.
    """
    config.net.rungs = rungs
    config.conditioning = {"name": "rung", "n": rungs}
    config.times = {"name": "discrete", "n": rungs}
    step = {"name": "annealed_langevin", "snr": snr, "n_steps": n_steps}
    published = {"step": step, "grid": {"name": "uniform_grid", "t_min": 0.0}, "n": rungs - 1}
    config.samplers = {"published": published, **base.flow(1e-5)}
