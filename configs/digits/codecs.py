"""The VP-SDE of every codec's codes on 8x8 digits: one network, loss and budget, from three seeds.

python -m experiments compare --config=configs/digits/first_stages.py --workdir=runs/first_stages
python -m experiments compare --config=configs/digits/codecs.py --workdir=runs/codecs

The first command trains the codecs that are fixed here, each from its seed 0; their codes are standardised. The flows are
trained with the score of their codes (INDM), and so is one VAE (LSGM).
"""

from ml_collections import ConfigDict

from configs.base import arm
from configs.digits import first_stages, lsgm, vp

FLOWS = {
    "real_nvp": ("RealNVP", {"couplings": 4}),
    "glow": ("Glow", {"steps": 4}),
    "residual_flow": ("residual flow", {"blocks": 2}),
}


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Every codec on 8x8 digits"
    config.times = {"name": "importance"}
    config.weight = {"name": "likelihood"}
    config.train.update({"seeds": (0, 1, 2), "steps": 800})
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    flow = lambda name, depth: {"by": {"name": name, "levels": 2, "width": 24, **depth}}
    config.arms = {
        "pixels": {"title": "no codec"},
        "cosine": {"codec": {"by": "cosine"}},
        **{name: scored(name, stage) for name, stage in first_stages.get_config().arms.to_dict().items()},
        **{name: {"title": title, "codec": flow(name, depth)} for name, (title, depth) in FLOWS.items()},
        "lsgm": arm("VAE with its score", lsgm.get_config(), "codec", "sigma_data", "mixed", "times"),
    }
    return config


def scored(name: str, stage: dict) -> dict:
    """The arm that scores the codes of an arm of the other config."""
    codec = {"run": f"runs/first_stages/{name}", "standardise": "channel"}
    return stage | {"codec": codec, "sigma_data": 1.0}
