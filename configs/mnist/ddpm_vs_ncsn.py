"""DDPM against NCSN, and the sub-VP-SDE, on MNIST; only the SDE differs.

python -m experiments compare --config=configs/mnist/ddpm_vs_ncsn.py --workdir=runs/mnist --config.data.data_dir=FOLDER
"""

from ml_collections import ConfigDict

from configs.mnist import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "DDPM against NCSN on MNIST"
    config.arms = {
        "ddpm": {"title": "DDPM (VP-SDE)", "sde": {"name": "VPSDE"}},
        "ncsn": {"title": "NCSN (VE-SDE)", "sde": {"name": "VESDE", "sigma_min": 0.01, "sigma_max": 35.0, "prior_mean": -0.74}},
        "subvp": {"title": "sub-VP-SDE", "sde": {"name": "SubVPSDE"}},
    }
    return config
