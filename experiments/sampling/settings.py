"""The settings of a run's pictures, by which each has a file of its own, and where else it comes from."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.classes import class_name
from experiments.data.dataset import DataFacts
from experiments.runtime.circumstances import versions


def sampler_settings(sampler: BoundSampler, step: int) -> dict[str, Any]:
    """Returns what the samples of `sample.sampler` depend on, by a network of `step` steps of training, as JSON values."""
    config, label = sampler.experiment.config, sampler.label
    of_sample = ("ema", "sigma_rel", "caption", "like")
    return {key: value for key in of_sample if (value := getattr(config.sample, key)) not in (None, "", ())} | {
        "sampler": {"label": config.sample.sampler} | sampler.config.model_dump(exclude={"sweep"}),
        "label": label,
        "class": class_name(label, sampler.names) if isinstance(label, int) else None,
        "seed": config.sample.seed,
        "step": step,
        "lora": config.lora and config.lora.model_dump(include={"scale", "digest"}),
        **({"codec": config.codec.model_dump(exclude={"run"})} if config.codec else {}),
    }


def provenance(experiment: Experiment, data: DataFacts) -> dict[str, str]:
    """Returns where a picture comes from beside its settings: the hashes of config and data, the devices and the versions."""
    devices = f"{jax.device_count()} {jax.devices()[0].device_kind}"
    return {"config": experiment.config.digest(), "data": data.digest, "devices": devices, "versions": versions()}


def picture_path(folder: Path, name: str, file: str, settings: dict[str, Any]) -> Path:
    """Returns the path of the picture that is drawn at `settings`: `file`, or `name` with their digest if that is empty."""
    digest = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return folder / f"{file or f'{name}_{digest}'}.png"
