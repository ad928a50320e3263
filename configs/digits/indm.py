"""INDM on 8x8 digits: a flow and the VP-SDE of its codes, trained together: a nonlinear diffusion of x (Kim et al. 2022).

python -m experiments train --config=configs/digits/indm.py --workdir=runs/digits_indm

Other flows: --config.codec.by=residual_flow (the paper's) or real_nvp. Likelihood weighting trains both; the paper's other
recipe, --config.weight=sigma2, trains the score for its samples, and the flow by the likelihood still.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "INDM on 8x8 digits"
    config.codec = {"by": {"name": "glow", "levels": 2, "steps": 4, "width": 32}}
    config.weight = {"name": "likelihood"}
    config.times = {"name": "importance"}
    return config
