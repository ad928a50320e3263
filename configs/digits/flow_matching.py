"""Flow matching on 8x8 digits at one budget: draws of t, their shift, JiT's recipe, beside the VP- and the VE-SDE.

python -m experiments compare --config=configs/digits/flow_matching.py --workdir=runs/flow_matching
"""

from ml_collections import ConfigDict

from configs.base import arm
from configs.digits import ddpm_vs_ncsn, jit, rectified_flow, vp


def get_config() -> ConfigDict:
    config = rectified_flow.get_config()
    config.title = "Flow matching on 8x8 digits"
    config.samplers = {label: config.samplers[label] for label in ("fast", "euler")}
    times = config.times.to_dict()
    denoising = arm("DDPM (VP-SDE)", vp.get_config(), "sde", "parameterization", "weight", "times")
    config.arms = {
        "uniform": {"title": "t uniform", "times": {"name": "uniform"}},
        "logit_normal": {"title": "t logit-normal", "times": times},
        "shifted": {"title": "t logit-normal, shifted by 2", "times": times | {"shift": 2.0}},
        "jit": arm("JiT's recipe", jit.get_config(), "parameterization", "weight", "times"),
        "vp": denoising,
        "ve": denoising | ddpm_vs_ncsn.get_config().arms.ncsn.to_dict(),
    }
    return config
