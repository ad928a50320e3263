"""One SDE, network, seed and budget; only the training loss differs. Bits/dim of all held-out digits, and samples by `fast`.

python -m experiments compare --config=configs/digits/objectives.py --workdir=runs/objectives [--config.sde.name=SubVPSDE]

Half an hour on one core. Expect 2.1 to 2.6 bits/dim on VP: EDM's loss is best, and under the likelihood weight
importance-sampled t is better than uniform t.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "Training losses on 8x8 digits"
    config.train.steps = config.train.sample_every = 800
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.evaluate = config.evaluate.to_dict() | {"likelihood": "all"}
    config.arms = arms()
    return config


def arms() -> dict:
    """The training losses: each an objective, its weight, and the draw of t that suits them."""
    uniform, even, discrete = {"name": "uniform"}, {"name": "importance"}, {"name": "discrete", "n": 1000}
    dsm = lambda weight, times: {"objective": {"name": "dsm"}, "weight": weight, "times": times}
    return {
        "simple": {"title": "L_simple", **dsm({"name": "sigma2"}, uniform)},
        "likelihood": {"title": "likelihood weight, t uniform", **dsm({"name": "likelihood"}, uniform)},
        "importance": {"title": "likelihood weight, t by importance", **dsm({"name": "likelihood"}, even)},
        "loss_aware": {"title": "likelihood weight, t loss-aware", **dsm({"name": "likelihood"}, {"name": "loss_aware"})},
        "soft_truncation": {"title": "soft truncation", **dsm({"name": "soft_truncation"}, even)},
        "min_snr": {"title": "min-SNR", **dsm({"name": "min_snr"}, uniform)},
        "p2": {"title": "P2", **dsm({"name": "p2"}, uniform)},
        "edm": {"title": "EDM", **dsm({"name": "edm"}, {"name": "log_normal", "unbiased": False})},
        "vlb": {"title": "L_vlb", "objective": {"name": "vlb"}, "weight": None, "times": discrete},
        "hybrid": {"title": "L_hybrid", "objective": {"name": "hybrid"}, "weight": None, "times": discrete},
        "ssm_vr": {"title": "sliced (SSM-VR)", "objective": {"name": "ssm_vr"}, "weight": {"name": "sigma2"}, "times": even},
    }
