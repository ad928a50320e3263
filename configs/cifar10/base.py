"""The common part of the CIFAR-10 recipes, and the settings of each SDE (score_sde's default_cifar10_configs).

| network | VP, DDPM's table | VP | sub-VP | VE, a ladder | VE |
|---|---|---|---|---|---|
| DDPM | ddpm, ddpm_score_sde | ddpm_continuous_vp | ddpm_continuous_subvp | ddpm_ve | |
| DDPM++ | ddpmpp_vp | ddpmpp_continuous_vp | ddpmpp_continuous_subvp | | |
| DDPM++, deep | | ddpmpp_deep_continuous_vp | ddpmpp_deep_continuous_subvp | | |
| DDPM++, ScoreFlow | | ddpmpp_scoreflow_vp | ddpmpp_scoreflow_subvp | | |
| DDPM++, deep, ScoreFlow | | ddpmpp_deep_scoreflow_vp | ddpmpp_deep_scoreflow_subvp | | |
| NCSN++ | ncsnpp_vp | ncsnpp_continuous_vp | ncsnpp_continuous_subvp | ncsnpp_ve | ncsnpp_continuous_ve |
| NCSN++, deep | | ncsnpp_deep_continuous_vp | ncsnpp_deep_continuous_subvp | | ncsnpp_deep_continuous_ve |
| NCSN | | | | ncsn, ncsn_5, ncsn_124, ncsn_1245 | |
| NCSNv2 | | | | ncsnv2 | |
| DDPM++, EDM | | | | | ddpmpp_edm |
| NCSN++, EDM | | | | | ncsnpp_edm, ncsnpp_edm_jax |

Two are on an SDE of their own: ddpm_improved (cosine) and vdm (log-linear). Two are small: kl_f4, a first stage, and latent, a
score of its codes.

Any of them runs small: --config=configs/cifar10/ddpm.py:tiny. CIFAR-10 itself is read from data_dir, to which this writes it,
without TensorFlow, from the binary version at https://www.cs.toronto.edu/~kriz/cifar.html (or TFDS does):

python -m experiments data prepare cifar10 --from=cifar-10-binary.tar.gz

If nothing was published, a cost is arithmetic: forward and backward of a step by XLA's count, at the rate of NCSN++ on four
V100, 0.20 s a step (score_sde). FID is that of 50,000 samples against the training set. For it a run needs
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
    """Continuous VP: the mean squared error of eps, by a network of 999 t; Euler-Maruyama at 1000 times from 1 to 1e-3."""
    config.sde = {"name": "VPSDE"}
    config.conditioning = {"name": "time", "scale": 999.0}
    config.times = {"name": "uniform", "t_min": 1e-5}
    config.samplers = samplers("euler_maruyama", t_min=1e-3)


def subvp(config: ConfigDict) -> None:
    """Continuous sub-VP: all as for VP but the SDE."""
    vp(config)
    config.sde = {"name": "SubVPSDE"}


def scoreflow(config: ConfigDict, t_min: float, flow_t_min: float) -> None:
    """ScoreFlow (Song et al. 2021, MLE): the likelihood weight, t importance-sampled from t_min to 1, no flips.

    It samples by the flow down to `flow_t_min`, and its bits/dim are those of a variational dequantiser.
    """
    config.weight = {"name": "likelihood"}
    config.times = {"name": "importance", "t_min": t_min, "normalized": False}
    config.data.flip = False
    config.samplers = flow(flow_t_min)
    config.evaluate.t_min = t_min
    config.sample.sampler = "flow"
    config.evaluate.dequantizer = "variational"
    config.evaluate.dequantizer_steps = 300_000


def deepen(config: ConfigDict) -> None:
    """Twice the blocks, trained for 950,000 steps."""
    config.net.blocks = 8
    config.train.steps = 950_000


def ddpm(config: ConfigDict) -> None:
    """Discrete VP: DDPM's table of 1000 betas, its labels 0 ... 999, and its ancestral sampler with the larger variance."""
    config.sde = {"name": "ddpm_table", "n": 1000}
    config.conditioning = {"name": "index", "n": 1000}
    config.times = {"name": "discrete", "n": 1000}
    ancestral = {"step": {"name": "ancestral", "v": 1.0}, "grid": {"name": "uniform_grid", "t_min": 0.0}, "n": 1000}
    config.samplers = {"published": ancestral, **flow(1e-3)}


def ve(config: ConfigDict) -> None:
    """Continuous VE on [0, 1]: half the summed square, by a network of log(sigma).

    It samples by a Langevin step and then one of reverse diffusion at each of 999 noise levels.

    The prior's mean is 0 as published, although the data's is near 1/2: --config.sde.prior_mean=0.47 mends it.
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
    """`step` at 1000 even times from 1 to t_min, the last of them Tweedie's; and the flow's samplers beside it."""
    grid = {"name": "uniform_grid", "t_min": t_min}
    published = {"step": {"name": step}, "grid": grid, "n": 999, "denoise": True}
    return ConfigDict({"published": published, **flow(t_min or 1e-5)})


def flow(t_min: float) -> dict:
    """The probability flow at the tolerance of score_sde, and the library's fast solver."""
    grid = {"name": "uniform_grid", "t_min": t_min}
    exact = {"step": {"name": "probability_flow", "rtol": 1e-5, "atol": 1e-5}, "grid": grid, "n": 1, "denoise": True}
    fast = {"step": {"name": "deis"}, "grid": {"name": "arctan_grid", "log_snr_max": 9.0}, "n": 20, "denoise": True}
    return {"flow": exact, "fast": fast}
