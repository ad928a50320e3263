"""The generative models of the lectures on 8x8 digits at one budget: VAEs, a flow, DDPM, NCSN and LSGM.

python -m experiments compare --config=configs/digits/families.py --workdir=runs/families

Each has about 164,000 parameters, and so many steps as take the time of 1,600 steps of DDPM on two cores.
"""

from ml_collections import ConfigDict

from configs.digits import ddpm_vs_ncsn, lsgm, vae


def get_config() -> ConfigDict:
    config = ddpm_vs_ncsn.get_config()
    config.title = "VAE, flow, DDPM, NCSN and LSGM on 8x8 digits"
    sdes = config.arms
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    config.evaluate.pairs = 3
    own = vae.get_config()
    alone = {
        "objective": {"name": "rate_distortion"},
        "weight": None,
        "net": {"name": "Zero"},
        "parameterization": "edm",
        "sigma_data": 1.0,
    }
    ladder = {
        # Without free nats its coarsest group, which is the code, comes to say nothing of x.
        "by": {"name": "hierarchical_vae", "free_nats": 4.0},
        "net": {"name": "Ladder", "width": 20},
        "likelihood": own.codec.likelihood.to_dict(),
    }
    glow = {"by": {"name": "glow", "levels": 2, "steps": 8, "width": 68}}
    joint = lsgm.get_config()
    config.arms = {
        "vae": {"title": "VAE", **alone, "codec": of_width(own.codec, 27), "train": {"steps": 1400}},
        "hierarchical": {"title": "hierarchical VAE", **alone, "codec": ladder, "train": {"steps": 1080}},
        "flow": {"title": "flow (Glow)", **alone, "codec": glow, "train": {"steps": 1500}},
        "ddpm": sdes.ddpm.to_dict(),
        "ncsn": sdes.ncsn.to_dict(),
        "lsgm": {
            "title": "LSGM",
            "codec": of_width(joint.codec, 18),
            "net": {**joint.net.to_dict(), "width": 12},
            "sigma_data": 1.0,
            "mixed": True,
            "times": joint.times.to_dict(),
        },
    }
    return config


def of_width(codec: ConfigDict, width: int) -> dict:
    """The codec with networks of that width."""
    own = codec.to_dict()
    return own | {name: {**own[name], "width": width} for name in ("encoder", "decoder")}
