"""A bridge from the means of 2 x 2 pixels to 8x8 digits: no noise at its beginning, and a draw of p(x_0 | x_1) at its end.

python -m experiments train --config=configs/digits/bridge.py --workdir=runs/bridge
python -m experiments sample runs/bridge

DDBM on VE (Zhou et al. 2024). The network hears where the bridge began. Each sample stands beside that.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Bridge to 8x8 digits"
    config.sde = {"name": "EDMSDE", "sigma_min": 0.005, "sigma_max": 1.0}
    config.objective = {"name": "bridge"}
    config.parameterization = "eps"
    config.conditions = {"image": {"name": "low_resolution", "factor": 2}}
    grid = {"name": "uniform_grid"}
    config.samplers = {
        "ancestral": {"step": "ancestral", "grid": grid, "n": 32, "denoise": True, "sweep": {"n": (4, 8, 16)}},
    }
    config.sample.sampler = "ancestral"
    config.evaluate.likelihood = 0
    return config
