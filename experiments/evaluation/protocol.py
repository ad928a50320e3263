"""What a report says of its numbers."""

from __future__ import annotations

import json
import math
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.state import State
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.scaler import Scaler, scale
from experiments.evaluation.reference import FEW, Yardstick
from experiments.runs.folder import Folder
from experiments.runs.metrics import rows
from experiments.runtime.circumstances import versions


def describe(name: str, experiment: Experiment, state: State, run: Path) -> dict[str, Any]:
    """What the report says of an arm before it is measured: its size, and its training from metrics.jsonl."""
    log = rows(Folder(run).metrics)  # none, where the weights are from elsewhere
    last = log[-1] if log else {"step": math.nan, "loss": math.nan}
    seconds = sum(row["seconds"] for row in log)
    return {
        "name": name,
        "label": experiment.config.title,
        "changes": {},
        "parameters": sum(a.size for a in jax.tree.leaves(state.params)),
        "train_seconds": seconds,
        "steps_per_second": last["step"] / seconds if seconds else math.nan,
        "final_loss": last["loss"],
        "curve": {"step": [row["step"] for row in log], "loss": [row["loss"] for row in log]},
    }


def summary(
    config: Config,
    arms: list[dict[str, Any]],
    data: Dataset,
    real: Yardstick,
    baseline: dict[str, Any],
    command: str,
    seconds: float,
) -> dict[str, Any]:
    """The report's data: the arms, other real images as the `baseline`, and the protocol."""
    return {
        "title": config.title,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "arms": arms,
        "distance": real.space.distance,
        "doubts": real.doubts(config.evaluate.n) + non_finite(config, arms),
        "reference": baseline,
        "protocol": protocol(config, data, real),
        "config": json.dumps(config.model_dump(), indent=2),
    }


def non_finite(config: Config, arms: list[dict[str, Any]]) -> list[str]:
    """What was not finite, and is in no number and no picture, a line each."""
    lines, n = [], config.evaluate.n * config.evaluate.seeds
    for arm in arms:
        for row in arm["samplers"]:
            for setting, where in [(row, ""), *((s, f" of its sweep at NFE {s['nfe']:.0f}") for s in row["sweep"])]:
                if bad := setting["non_finite"]:
                    left = "left out of the pictures, and their seeds of the measures"
                    lines.append(
                        f"{arm['label']}, {row['label']}{where}: {bad} of {n} not finite ({setting['unsound'][0]}), {left}"
                    )
        bits = arm["bits_per_dim"]
        if bits and (bad := bits["non_finite"]):
            lines.append(
                f"{arm['label']}: the likelihood of {bad} of {bits['n']} held-out examples is not finite, nor is their mean"
            )
        curve = np.isfinite(arm["loss_by_log_snr"]["loss"])
        if not curve.all():
            lines.append(f"{arm['label']}: the held-out loss is not finite at {(~curve).sum()} of {len(curve)} noise levels")
        if bad := arm["process_non_finite"]:
            lines.append(f"{arm['label']}: no picture of the reverse process, {bad} of its samples are not finite")
    return lines


def bits_protocol(scaler: Scaler) -> str:
    """What the bits are of, and their offset."""
    if not scaler.levels:
        return "-log2 p(x)/D of held-out points; ± is the standard error of the mean over them"
    return (
        "-log2 P(k)/D of held-out examples, bounded by the draws of u in the cells of their levels, P(k) = ∫ p(k + u) du; "
        f"the scale of the {scaler.levels} levels adds -log2({scaler.cell:.4g}) = {scaler.bits_per_dim(0.0, 1):.4g}; "
        "± is the standard error of the mean over examples"
    )


def distance_protocol(config: Config, real: Yardstick) -> list[list[str]]:
    """How the Fréchet distance came about; of FID, all that its number depends on."""
    gaussians = "between Gaussians fitted to the features (squared 2-Wasserstein); biased up by small n, alike for all rows"
    if not real.space.logits:
        return [["Fréchet distance", gaussians]]
    e, of, data = config.evaluate, real.real, config.data
    split = {"test": f"held-out ({data.test})", "train": f"training ({data.train})"}[e.real]
    return [
        [
            "FID",
            f"n = {e.n:,} samples of each seed, {', '.join(str(s) for s in range(e.seeds))}: their mean, not the least; "
            f"against all {of.n:,} real images of {data.name}, {split}, data hash {of.protocol.data}; extractor "
            f"{of.protocol.extractor}; input {of.protocol.input}; {gaussians}",
        ],
        ["KID", "unbiased squared MMD under (x y/2048 + 1)^3, the mean over 100 subsets of 1,000 of each, or all of the fewer"],
        ["Inception score", "mean over 10 splits of a seed's samples; of logits without bias"],
    ]


def protocol(config: Config, data: Dataset, real: Yardstick) -> list[list[str]]:
    """What a reader needs to repeat or to doubt the numbers."""
    e, split = config.evaluate, {"test": "held-out", "train": "training"}
    return [
        [
            "data",
            f"{config.data.name}: {len(data.train)} training and {len(data.test)} held-out examples of shape {data.shape}",
        ],
        ["data hash", data.digest],
        ["config hash", config.digest()],
        ["training seed", f"{config.seed} (one training run per arm)"],
        ["sampling seeds", f"{', '.join(str(s) for s in range(e.seeds))}; ± is the standard deviation over them"],
        [
            "samples",
            f"{e.n} per seed, against all {real.real.n} {split[e.real]} examples; the same latents in every arm and sampler",
        ],
        ["features", real.space.description],
        *distance_protocol(config, real),
        ["precision, recall", f"share within the other's {e.neighbours}-nearest-neighbour balls, of at most {FEW:,} of each"],
        ["bits/dim", bits_protocol(scale(config))],
        ["NFE", "evaluations of the network per sample, counted; for an adaptive solver the mean over samples"],
        ["wall time", f"of {e.n} samples in batches of {e.batch}, without compiling"],
        [
            "devices",
            f"{jax.device_count()} {jax.devices()[0].device_kind}, {platform.machine()}, Python {platform.python_version()}",
        ],
        ["versions", versions()],
    ]
