"""The common part of every experiment. A config imports this, changes lines, and says in its docstring what to expect."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "title": "VP-SDE",
            "seed": 0,
            "sde": {"name": "VPSDE"},
            "net": {"name": "DDPM"},
            "parameterization": "eps",
            "sigma_data": 1.0,
            "objective": {"name": "dsm"},
            "weight": {"name": "sigma2"},
            "times": {"name": "uniform"},
            "data": {"name": "digits"},
            "train": {"steps": 100_000, "batch": 128},
            "samplers": samplers(100),
            "sample": {"sampler": "ancestral"},
            "evaluate": {},
        }
    )


def samplers(n: int) -> ConfigDict:
    """The four samplers of Song et al. (2021) at about n evaluations of the score and fewer, and our fast solver at n/4."""
    end = {"log_snr_max": 6.0}  # grey levels can be told apart here; Tweedie's denoising removes the rest
    grid = {"name": "log_snr_grid", **end}
    swept = (n // 4, n // 2)
    return ConfigDict(
        {
            "fast": {
                "step": {"name": "deis"},
                "grid": {"name": "arctan_grid", **end},
                "n": n // 4,
                "denoise": True,
                "sweep": {"n": (n // 16, n // 8)},
            },
            "ancestral": {"step": {"name": "ancestral"}, "grid": grid, "n": n, "sweep": {"n": swept}},
            "annealed_langevin": {
                "step": {"name": "annealed_langevin", "snr": 0.5, "n_steps": 1},
                "grid": grid,
                "n": n,
                "denoise": True,
                "sweep": {"n": swept},
            },
            "predictor_corrector": {
                "step": {"name": "reverse_diffusion"},
                "corrector": {"name": "langevin", "snr": 0.16},
                "grid": grid,
                "n": n // 2,
                "denoise": True,
                "sweep": {"n": tuple(k // 2 for k in swept)},
            },
            "probability_flow": {
                "step": {"name": "probability_flow", "rtol": 1e-2, "atol": 1e-2},
                "grid": grid,
                "n": 1,
                "sweep": {"rtol": (0.5, 0.1), "atol": (0.5, 0.1)},
            },
        }
    )


def samplers_of_any_sde(n: int) -> ConfigDict:
    """The samplers that need drift and diffusion alone, at about n evaluations of the score and fewer."""
    grid, whole = {"name": "quadratic_grid"}, {"grid": {"name": "uniform_grid"}, "n": 1}
    return ConfigDict(
        {
            "euler_maruyama": {"step": {"name": "euler_maruyama"}, "grid": grid, "n": n, "sweep": {"n": (n // 4, n // 2)}},
            "heun": {"step": {"name": "heun"}, "grid": grid, "n": n // 2, "sweep": {"n": (n // 8, n // 4)}},
            "probability_flow": {"step": {"name": "probability_flow", "rtol": 1e-2, "atol": 1e-2}, **whole},
            "adaptive_sde": {"step": {"name": "adaptive_sde"}, **whole},
        }
    )


def arm(title: str, config: ConfigDict, *keys: str) -> dict:
    """An arm of a comparison with that title, and the sections of these names of another config."""
    whole = config.to_dict()
    return {"title": title} | {key: whole[key] for key in keys}
