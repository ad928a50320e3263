"""DDPM against NCSN, and the sub-VP-SDE: one network, loss, time distribution, data, seed and budget; only the SDE differs.

python -m experiments compare --config=configs/digits/ddpm_vs_ncsn.py --workdir=runs/demo
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "DDPM against NCSN on 8x8 digits"
    config.arms = {
        "ddpm": {"title": "DDPM (VP-SDE)", "sde": {"name": "VPSDE"}},
        # sigma_max exceeds the largest distance between two digits, 9.6 (Song & Ermon 2020, technique 1).
        "ncsn": {"title": "NCSN (VE-SDE)", "sde": {"name": "VESDE", "sigma_min": 0.01, "sigma_max": 10.0, "prior_mean": -0.39}},
        "subvp": {"title": "sub-VP-SDE", "sde": {"name": "SubVPSDE"}},
    }
    return config
