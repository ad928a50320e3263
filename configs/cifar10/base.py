"""What the recipes of Song et al. (2021) share on CIFAR-10, and what each SDE brings (score_sde's default_cifar10_configs).

Any of them runs small: --config=configs/cifar10/ddpm.py:tiny. CIFAR-10 itself is read from what TFDS has prepared (data_dir).

Costs are arithmetic where nothing was published: forward and backward of a step by XLA's count, at the rate of NCSN++ on four
V100, 0.20 s a step (score_sde). FID is that of 50,000 samples against the training set, for which a run needs
--config.evaluate.features=inception --config.evaluate.inception=FILE, your copy of Inception's weights.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.data = {"name": "cifar10", "flip": True}
    config.scale_input = False
    config.train = {
        "steps": 1_300_000,
        "batch": 128,
        "learning_rate": 2e-4,
        "warm_up": 5000,
        "ema": 0.9999,
        "log_every": 100,
        "sample_every": 50_000,
        "checkpoint_every": 10_000,
    }
    config.sample = {"sampler": "published"}
    config.evaluate = {"n": 50_000, "seeds": 1, "batch": 1000, "real": "train", "likelihood": "all", "tolerance": 1e-5}
    return config


def vp(config: ConfigDict) -> None:
    """Continuous VP: eps of a network that hears 999 t, mean squared; Euler-Maruyama at 1000 times from 1 to 1e-3."""
    config.sde = {"name": "VPSDE"}
    config.conditioning = {"name": "time", "scale": 999.0}
    config.times = {"name": "uniform", "t_min": 1e-5}
    config.samplers = samplers("euler_maruyama", t_min=1e-3)


def subvp(config: ConfigDict) -> None:
    """Continuous sub-VP: as VP."""
    vp(config)
    config.sde = {"name": "SubVPSDE"}


def ddpm(config: ConfigDict) -> None:
    """Discrete VP: DDPM's table of 1000 betas, its labels 0 ... 999, and its ancestral sampler of the larger variance."""
    config.sde = {"name": "ddpm_table", "n": 1000}
    config.conditioning = {"name": "index", "n": 1000}
    config.times = {"name": "discrete", "n": 1000}
    ancestral = {"step": {"name": "ancestral", "v": 1.0}, "grid": {"name": "uniform_grid", "t_min": 0.0}, "n": 1000}
    config.samplers = {"published": ancestral, **flow(1e-3)}


def ve(config: ConfigDict) -> None:
    """Continuous VE on [0, 1]: half the summed square, log(sigma) heard; reverse diffusion after Langevin at 999 noise levels.

    The prior's mean is 0, as published, where the data's is near 1/2: --config.sde.prior_mean=0.47 mends it.
    """
    config.sde = {"name": "VESDE", "sigma_min": 0.01, "sigma_max": 50.0}
    config.parameterization = "sigma_score"
    config.conditioning = {"name": "log_noise", "scale": 1.0}
    config.objective = {"name": "dsm", "half_sum": True}
    config.times = {"name": "uniform", "t_min": 1e-5}
    config.data.range = "unit"
    config.train.ema = 0.999
    config.samplers = samplers("reverse_diffusion", t_min=0.0)
    config.samplers["published"].corrector = {"name": "langevin", "snr": 0.16, "norm": "batch"}


def smld(config: ConfigDict) -> None:
    """Discrete VE: a ladder of 1000 noise levels, numbered from the noisiest."""
    ve(config)
    config.conditioning = {"name": "rung", "n": 1000}
    config.times = {"name": "discrete", "n": 1000}


def samplers(step: str, t_min: float) -> ConfigDict:
    """`step` at 1000 even times from 1 to t_min, the last of them Tweedie's; beside it the flow."""
    grid = {"name": "uniform_grid", "t_min": t_min}
    published = {"step": {"name": step}, "grid": grid, "n": 999, "denoise": True}
    return ConfigDict({"published": published, **flow(t_min or 1e-5)})


def flow(t_min: float) -> dict:
    """The probability flow at the tolerance of score_sde, and the library's fast solver."""
    grid = {"name": "uniform_grid", "t_min": t_min}
    exact = {"step": {"name": "probability_flow", "rtol": 1e-5, "atol": 1e-5}, "grid": grid, "n": 1, "denoise": True}
    fast = {"step": {"name": "deis"}, "grid": {"name": "arctan_grid", "log_snr_max": 9.0}, "n": 20, "denoise": True}
    return {"flow": exact, "fast": fast}
