"""VDM on 8x8 digits: the bound trains the network and the ends of the schedule, and the loss's variance what lies between.

python -m experiments train --config=configs/digits/vdm.py --workdir=runs/digits_vdm

Kingma et al. (2021). A fixed schedule: --config.sde.learned=(). Its ends alone, as in the paper's code:
"--config.sde={'name': 'LogLinearVPSDE', 'learned': ('log_snr_max', 'log_snr_min')}".
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "VDM on 8x8 digits"
    config.sde = {"name": "LearnedVPSDE", "learned": ("log_snr_max", "log_snr_min", "knots")}
    config.objective = {"name": "continuous_vlb"}
    config.weight = None
    return config
