"""Every SDE on 8x8 digits: one network, budget and data, from three seeds; only the SDE differs, and what it asks for.

python -m experiments compare --config=configs/digits/sdes.py --workdir=runs/sdes

t is even in log-SNR on all but the last three, whatever their clock. The first nine share their programs. Each frequency of the
blurring SDE has a log-SNR of its own, and each channel of the polynomial one. VDM's schedule is learned by its own
bound, the score of CLD is that of its velocity, and that of the logistic SDE is learned by slices.
"""

from ml_collections import ConfigDict

from configs.base import arm
from configs.digits import blurring, cld, ddpm_vs_ncsn, nonlinear, vdm, vp

LINEAR = {
    "edm": ("EDM's clock", {"name": "EDMSDE", "sigma_min": 0.01, "sigma_max": 10.0, "prior_mean": -0.39}),
    "cosine": ("cosine", {"name": "CosineVPSDE"}),
    "geometric": ("geometric", {"name": "GeometricVPSDE"}),
    "log_linear": ("log-linear", {"name": "LogLinearVPSDE", "log_snr_min": -10.0}),
    "table": ("DDPM's table", {"name": "ddpm_table"}),
    "rectified_flow": ("straight path", {"name": "RectifiedFlowSDE"}),
}


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Every SDE on 8x8 digits"
    config.times = {"name": "importance"}
    config.weight = {"name": "likelihood"}
    config.train.seeds = (0, 1, 2)
    langevin, sliced = cld.get_config(), nonlinear.get_config()
    config.samplers = {label: config.samplers[label] for label in ("fast", "ancestral")}
    config.arms = {
        **ddpm_vs_ncsn.get_config().arms.to_dict(),
        **{name: {"title": title, "sde": sde} for name, (title, sde) in LINEAR.items()},
        "polynomial": {"title": "polynomial", "sde": {"name": "PolynomialVPSDE", "a": (0.5,), "b": (-0.3,), "c": (0.3,)}},
        "blurring": arm("blurring", blurring.get_config(), "sde", "codec", "in_space"),
        "learned": arm("learned, VDM", vdm.get_config(), "sde", "objective", "weight", "times"),
        "cld": {**arm("CLD", langevin, "sde"), **one_sampler(langevin, "sscs")},
        "logistic": {
            **arm("logistic", sliced, "parameterization", "objective", "times", "weight"),
            **one_sampler(sliced, "euler_maruyama"),
            "sde": sliced.arms.logistic.sde.to_dict(),
        },
    }
    return config


def one_sampler(config: ConfigDict, label: str) -> dict:
    """The sections `samplers` and `sample` of an arm that has one sampler, of another config."""
    samplers = {"fast": None, "ancestral": None, label: config.samplers[label].to_dict()}
    return {"samplers": samplers, "sample": {"sampler": label}}
