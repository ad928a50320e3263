"""The first stages of latent diffusion on 8x8 digits: codecs with networks of one size, trained alone, from three seeds.

python -m experiments compare --config=configs/digits/first_stages.py --workdir=runs/first_stages

Codes are 4 x 4 x 2, and those of the hierarchical VAE 4 x 4 x 4. Samples here are decoded draws of N(0, I), which only VAEs
make their codes resemble, at beta = 0.3; configs/digits/codecs.py scores the codes of each.
"""

from ml_collections import ConfigDict

from configs.digits import vae

NO_DENSITY = {"evaluate": {"likelihood": 0}}
"""For an arm whose codec has no density p(x | z), and so no likelihood."""


def get_config() -> ConfigDict:
    config = vae.get_config()
    config.title = "First stages on 8x8 digits"
    config.train.update({"seeds": (0, 1, 2), "steps": 800})
    size = {"width": 24, "multipliers": (1, 2), "blocks": 1}
    encoder, posterior = ({"name": "ConvEncoder", "channels": channels, **size} for channels in (2, 4))  # z; mean and variance
    decoder = {"name": "ConvDecoder", **size}
    likelihood = config.codec.likelihood.to_dict()
    plain, vq = {"name": "autoencoder", "sigma": 0.1}, {"name": "vq_autoencoder", "codes": 64}
    ladder = {"by": "hierarchical_vae", "net": {"name": "Ladder", "width": 20}, "likelihood": likelihood}
    config.codec = None
    config.arms = {
        "autoencoder": {"codec": {"by": plain, "encoder": encoder, "decoder": decoder}, **NO_DENSITY},
        "vq": {"title": "VQ autoencoder", "codec": {"by": vq, "encoder": encoder, "decoder": decoder}, **NO_DENSITY},
        "kl": {"title": "KL autoencoder", "codec": {"by": "kl_autoencoder", "encoder": posterior, "decoder": decoder}},
        "vae": {"title": "VAE", "codec": {"by": "vae", "encoder": posterior, "decoder": decoder, "likelihood": likelihood}},
        "hierarchical": {"title": "hierarchical VAE", "codec": ladder},
    }
    return config
