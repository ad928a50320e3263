"""DDPM against NCSN, and the sub-VP-SDE, on MNIST; only the SDE differs.

python -m experiments compare --config=configs/mnist/ddpm_vs_ncsn.py --workdir=runs/mnist --config.data.data_dir=FOLDER

The arms share one objective in the noise level s = sigma/alpha: log s is normal, and the squared error has EDM's weight. That
gives a third of the weight on the network's output to s from 1.5 to 15, where the class of a digit is decided. With t ~ U and
the weight sigma^2 these levels have 13 % of it on VP and 4 % on VE, which then hardly learns the classes.
"""

from ml_collections import ConfigDict

from configs.mnist import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "DDPM against NCSN on MNIST"
    config.times = {"name": "log_normal", "mean": 0.0, "std": 1.5, "unbiased": False}
    config.weight = {"name": "edm"}
    config.arms = {
        "ddpm": {"title": "DDPM (VP-SDE)", "sde": {"name": "VPSDE"}},
        "ncsn": {"title": "NCSN (VE-SDE)", "sde": {"name": "VESDE", "sigma_min": 0.01, "sigma_max": 35.0, "prior_mean": -0.74}},
        "subvp": {"title": "sub-VP-SDE", "sde": {"name": "SubVPSDE"}},
    }
    return config
