"""Bridges beside DDPM and NCSN that hear the same image: 8x8 digits from the means of 2 x 2 pixels, one network and budget.

python -m experiments compare --config=configs/digits/bridges.py --workdir=runs/bridges

A bridge begins at that image; the others begin at noise. Every arm takes 32 steps of its ancestral sampler, and
Tweedie's denoising at the end.
"""

from ml_collections import ConfigDict

from configs.digits import bridge, ddpm_vs_ncsn, vp


def get_config() -> ConfigDict:
    config = bridge.get_config()
    config.title = "Bridges to 8x8 digits"
    sdes = ddpm_vs_ncsn.get_config().arms
    grid = vp.get_config().samplers.ancestral.grid.to_dict()
    from_noise = {"objective": {"name": "dsm"}, "parameterization": "v", "samplers": {"ancestral": {"grid": grid}}}
    config.arms = {
        "bridge_ve": {"title": "bridge on VE (DDBM)"},
        "bridge_vp": {"title": "bridge on VP", "sde": sdes.ddpm.sde.to_dict()},
        "ddpm": {**sdes.ddpm.to_dict(), **from_noise},
        "ncsn": {**sdes.ncsn.to_dict(), **from_noise},
    }
    return config
