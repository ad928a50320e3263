"""JiT's recipe on 8x8 digits: the network predicts x_0, and the loss is of the velocity (Li & He 2025).

python -m experiments train --config=configs/digits/jit.py --workdir=runs/jit

Their time is 1 - t, so that logit(t) ~ N(-0.8, 0.8^2) there is N(0.8, 0.8^2) here; they divide by t at 0.05 or above.
"""

from ml_collections import ConfigDict

from configs.digits import rectified_flow


def get_config() -> ConfigDict:
    config = rectified_flow.get_config()
    config.title = "JiT's recipe on 8x8 digits"
    config.parameterization = "x0"
    config.weight = {"name": "velocity", "sigma_min": 0.05}
    config.times = {"name": "logit_normal", "mean": 0.8, "std": 0.8, "unbiased": False}
    return config
