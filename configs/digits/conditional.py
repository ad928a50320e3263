"""Class-conditional DDPM, NCSN and sub-VP on 8x8 digits, sampled with classifier-free guidance: quality against its weight w.

python -m experiments compare --config=configs/digits/conditional.py --workdir=runs/conditional
"""

from ml_collections import ConfigDict

from configs.digits import ddpm_vs_ncsn

WEIGHTS = (0.0, 1.0, 1.5, 3.0, 5.0, 8.0)
"""The weights w of the sweep: 0 ignores the label, 1 is the class's own law, more overstates the class."""


def get_config() -> ConfigDict:
    config = ddpm_vs_ncsn.get_config()
    config.title = "Class-conditional digits"
    config.net.classes = 10
    config.train.label_dropout = 0.1
    config.train.steps = config.train.sample_every = 2400
    config.samplers = samplers(config.samplers)
    config.sample.sampler = "fast"
    return config


def samplers(by_name: ConfigDict) -> dict:
    """The fast and the ancestral sampler, guided, over `WEIGHTS`; and the fast one guided only on an interval of noise."""
    guidance = {"name": "classifier_free", "w": 2.0}
    fast = by_name.fast.to_dict() | {"sweep": {}}
    guided = {"guidance": guidance, "sweep": {"w": WEIGHTS}}
    return {
        "fast": fast | guided,
        "fast_interval": fast | {"guidance": guidance | {"interval": (0.3, 5.0)}, "sweep": {"w": WEIGHTS}},
        "ancestral": by_name.ancestral.to_dict() | guided,
    }
