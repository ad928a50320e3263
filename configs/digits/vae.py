"""A VAE of 8x8 digits: codes of 4 x 4 x 2, to be sampled from N(0, I), or scored by configs/digits/latent.py.

python -m experiments train --config=configs/digits/vae.py --workdir=runs/digits_vae

beta is below 1, so that the codes keep what their score will explain; at --config.objective.beta=1.0 the loss is -ELBO/D.
"""

from ml_collections import ConfigDict

from configs.digits import vp


def get_config() -> ConfigDict:
    config = vp.get_config()
    config.title = "VAE of 8x8 digits"
    size = {"width": 32, "multipliers": (1, 2), "blocks": 1}
    config.codec = {
        "by": "vae",
        "encoder": {"name": "ConvEncoder", "channels": 4, **size},
        "decoder": {"name": "ConvDecoder", **size},
        "likelihood": {"name": "discretized_gaussian"},
    }
    config.objective = {"name": "rate_distortion", "beta": 0.3}
    config.weight = None
    config.net = {"name": "Zero"}
    config.parameterization = "edm"  # whose score without a network is that of N(0, I), the prior
    config.sigma_data = 1.0
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.evaluate.update({"features": "classifier"})
    return config
