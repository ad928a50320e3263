"""NCSNv2 (Song & Ermon 2020): 232 noise levels from 50, a network that does not know the level and is divided by sigma.

python -m experiments train --config=configs/cifar10/ncsnv2.py --workdir=runs/ncsnv2

Cost: 300,000 steps. 6.9 TFLOP a step: 15 hours on four V100 at score_sde's rate.
Published: FID 10.87, IS 8.40, with 232 x 5 evaluations; ours leaves out the first 5 (Song et al. 2021, table 3).
"""

from ml_collections import ConfigDict

from configs.cifar10 import ncsn


def get_config() -> ConfigDict:
    config = ncsn.get_config()
    config.title = "NCSNv2"
    ncsn.ladder(config, rungs=232, snr=0.176, n_steps=5)
    config.sde.sigma_max = 50.0
    config.net = {"name": "NCSNv2"}
    config.parameterization = "sigma_score"
    config.samplers["published"].denoise = True
    config.train = {**config.train, "steps": 300_000, "learning_rate": 1e-4, "ema": 0.999}
    return config
