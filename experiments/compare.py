"""compare: several arms that differ by a few keys, trained and evaluated alike, in one report."""

from __future__ import annotations

import json
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.build import Experiment, scale
from experiments.data import Dataset
from experiments.draw import first_shown
from experiments.evaluate import compare_features, evaluate, spread
from experiments.progress import say
from experiments.quality import FeatureSpace, feature_space
from experiments.report import write
from experiments.scale import Scaler
from experiments.schema import Config
from experiments.train import State, rows, train


def compare(
    experiments: dict[str, Experiment],
    base: Config,
    changes: dict[str, dict[str, Any]],
    data: Dataset,
    workdir: Path,
    command: str,
) -> Path:
    """Trains, samples and measures every arm; the path of report.html."""
    began = time.monotonic()
    space = feature_space(base.evaluate.features, data, base.data.levels)
    states, measured, pictures = {}, {}, {}
    for i, (name, experiment) in enumerate(experiments.items(), start=1):
        say(f"[{i}/{len(experiments)}] {experiment.config.title}")
        states[name] = train(experiment, data, workdir / name)
        measured[name], pictures[name] = evaluate(experiment, states[name].ema, data, space)
    if jax.process_index() == 0:
        arms = [
            describe(name, experiment, states[name], workdir / name) | measured[name] | {"changes": changes[name]}
            for name, experiment in experiments.items()
        ]
        results = summary(base, arms, data, space, command, time.monotonic() - began)
        write(workdir, results, pictures, first_shown(next(iter(experiments.values())), data.test))
    return workdir / "report.html"


def describe(name: str, experiment: Experiment, state: State, run: Path) -> dict[str, Any]:
    """What the report says of an arm before it is measured: its size, and its training from metrics.jsonl."""
    log = rows(run / "metrics.jsonl")
    seconds = sum(row["seconds"] for row in log)
    return {
        "name": name,
        "label": experiment.config.title,
        "changes": {},
        "parameters": sum(a.size for a in jax.tree.leaves(state.params)),
        "train_seconds": seconds,
        "steps_per_second": log[-1]["step"] / seconds,
        "final_loss": log[-1]["loss"],
        "curve": {"step": [row["step"] for row in log], "loss": [row["loss"] for row in log]},
    }


def summary(
    config: Config, arms: list[dict[str, Any]], data: Dataset, space: FeatureSpace, command: str, seconds: float
) -> dict[str, Any]:
    """The report's data: the arms, real images as the reference line, and the protocol."""
    return {
        "title": config.title,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "arms": arms,
        "reference": reference(config, data, space),
        "protocol": protocol(config, data, space),
        "config": json.dumps(config.model_dump(), indent=2),
    }


def reference(config: Config, data: Dataset, space: FeatureSpace) -> dict[str, Any]:
    """The measures of real training examples, as many as samples, another draw for each seed."""
    real, train_set = space.embed(data.test), data.train_examples()
    draws = []
    for seed in range(config.evaluate.seeds):
        chosen = np.random.default_rng(seed).choice(len(train_set), min(config.evaluate.n, len(train_set)), replace=False)
        draws.append(compare_features(space.embed(train_set[chosen]), real, config.evaluate.neighbours))
    return spread(draws)


def bits_protocol(scaler: Scaler) -> str:
    """What the bits are of, and their offset."""
    if not scaler.levels:
        return "-log2 p(x)/D of held-out points; ± is the standard error of the mean over them"
    return (
        "-log2 P(k)/D of held-out examples, bounded by the draws of u in the cells of their levels, P(k) = ∫ p(k + u) du; "
        f"the scale of the {scaler.levels} levels adds -log2({scaler.cell:.4g}) = {scaler.bits_per_dim(0.0, 1):.4g}; "
        "± is the standard error of the mean over examples"
    )


def protocol(config: Config, data: Dataset, space: FeatureSpace) -> list[list[str]]:
    """What a reader needs to repeat or to doubt the numbers."""
    e = config.evaluate
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "diffrax", "numpy")
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
            f"{e.n} per seed, against all {len(data.test)} held-out examples; the same latents in every arm and sampler",
        ],
        ["features", space.description],
        [
            "Fréchet distance",
            "between Gaussians fitted to the features (squared 2-Wasserstein); biased up by small n, alike for all rows",
        ],
        ["precision, recall", f"share within the other set's {e.neighbours}-nearest-neighbour balls"],
        ["bits/dim", bits_protocol(scale(config))],
        ["NFE", "evaluations of the network per sample, counted; for an adaptive solver the mean over samples"],
        ["wall time", f"of {e.n} samples in batches of {e.batch}, without compiling"],
        [
            "devices",
            f"{jax.device_count()} {jax.devices()[0].device_kind}, {platform.machine()}, Python {platform.python_version()}",
        ],
        ["versions", ", ".join(f"{p} {version(p)}" for p in packages)],
    ]
