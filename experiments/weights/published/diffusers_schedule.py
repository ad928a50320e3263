"""The noise of diffusers' linear schedulers as our table of betas, and what a network predicts of it; both ways."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from experiments.config.options import parameters
from experiments.config.schema import Config
from experiments.weights.published.diffusers import Fields
from experiments.weights.tensors import MOST
from sde_lib import ddpm_table

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
POWERS = {"linear": 1.0, "scaled_linear": 2.0}


class Scheduler(Fields):
    """The fields of DDPMScheduler and DDIMScheduler that are the model's. How to sample is for a sampler to say."""

    num_train_timesteps: Annotated[int, Field(ge=2, le=MOST)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    trained_betas: None = None
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    rescale_betas_zero_snr: Literal[False] = False
    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"] = "fixed_small"
    clip_sample: Any = None
    clip_sample_range: Any = None
    thresholding: Any = None
    dynamic_thresholding_ratio: Any = None
    sample_max_value: Any = None
    timestep_spacing: Any = None
    steps_offset: Any = None
    set_alpha_to_one: Any = None
    timestep_values: None = None  # of diffusers before 0.3, as the next
    tensor_format: Any = None


def sections(scheduler: Scheduler) -> dict[str, Any]:
    """Returns the sections of our config for the schedule's noise and for what the network predicts of it."""
    n = scheduler.num_train_timesteps
    betas = {"beta_1": scheduler.beta_start, "beta_n": scheduler.beta_end, "power": POWERS[scheduler.beta_schedule]}
    return {
        "sde": {"name": "ddpm_table", "n": n, **betas},
        "parameterization": PREDICTIONS[scheduler.prediction_type],
        "sigma_data": 1.0,
        "conditioning": {"name": "index", "n": n},
        "data.range": "symmetric",  # from which their pipelines make images
        "times": {"name": "discrete", "n": n},
    }


def needs(config: Config) -> dict[str, bool]:
    """Returns by words what a config must have to be one of `sections`, and whether it does."""
    table = _table(config)
    noise = config.conditioning.model_dump() if config.conditioning else {}
    return {
        "sde.name = ddpm_table": config.sde.name == "ddpm_table",
        "sde.power = 1 or 2": table.get("power") in POWERS.values(),
        "parameterization = eps, v or x0": config.parameterization in PREDICTIONS.values(),
        "conditioning = index with sde's n": {"n": 1000} | noise == {"name": "index", "n": table.get("n")},
        "scale_input = False, or sigma_data = 1": not config.scale_input or config.sigma_data == 1,
        "data.range = symmetric": config.data.range == "symmetric",
    }


def fields(config: Config) -> dict[str, Any]:
    """Returns the fields of a scheduler for a config that meets the `needs`: `sections` backwards."""
    table = _table(config)
    schedules, predictions = ({ours: theirs for theirs, ours in names.items()} for names in (POWERS, PREDICTIONS))
    return {
        "num_train_timesteps": table["n"],
        "beta_start": table["beta_1"],
        "beta_end": table["beta_n"],
        "beta_schedule": schedules[table["power"]],
        "prediction_type": predictions[config.parameterization],
    }


def _table(config: Config) -> dict[str, Any]:
    """The options of the config's SDE, with the table's own for those that it leaves out."""
    return {name: p.default for name, p in parameters(ddpm_table).items()} | config.sde.options
