"""Schedules on 8x8 digits by the variational bound: VP, VE, log-linear, and VDM with its ends or all of it learned.

python -m experiments compare --config=configs/digits/schedules.py --workdir=runs/schedules

One network and budget. t is even in log-SNR on VP and VE, by importance sampling, and uniform on the others.
"""

from ml_collections import ConfigDict

from configs.digits import ddpm_vs_ncsn, vdm


def get_config() -> ConfigDict:
    config = vdm.get_config()
    config.title = "Schedules on 8x8 digits"
    config.samplers = {label: config.samplers[label] for label in ("fast", "ancestral")}
    config.evaluate = config.evaluate.to_dict() | {"likelihood": "all"}
    even = {"times": {"name": "importance"}}
    of = ddpm_vs_ncsn.get_config().arms
    ends, learned = ("log_snr_max", "log_snr_min"), config.sde.to_dict()
    config.arms = {
        "vp": {**of.ddpm.to_dict(), **even},
        "ve": {**of.ncsn.to_dict(), **even},
        "log_linear": {"title": "log-linear", "sde": {"name": "LogLinearVPSDE"}},
        "ends": {"title": "its ends learned", "sde": {"name": "LogLinearVPSDE", "learned": ends}},
        "learned": {"title": "all learned (VDM)", "sde": learned},
    }
    return config
