"""The data of a report: its arms, the baseline, what is doubtful and the protocol, as JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.state import State
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.data.pictures import held_out_shown
from experiments.data.scaler import scale
from experiments.data.views import caption
from experiments.evaluation.differences import differences
from experiments.evaluation.measures import measured
from experiments.evaluation.protocol import protocol_lines, training_seeds
from experiments.evaluation.reference import Reference
from experiments.evaluation.training_seeds import runs_of
from experiments.runs.folder import Folder
from experiments.runs.metrics import rows


def report_data(
    config: Config,
    arms: list[dict[str, Any]],
    data: Dataset,
    reference: Reference,
    baseline: dict[str, Any],
    command: str,
    failed: Mapping[str, Exception] = MappingProxyType({}),
) -> dict[str, Any]:
    """The content of report.json; `baseline` are the measures of other real images, under the key "reference".

    `failed`: the errors of the runs that are not in it, by the names of their folders.
    """
    absent = [f"{name} is not in this report: {' '.join(str(error).split())[:300]}" for name, error in failed.items()]
    ranked = measured({"arms": arms})
    return {
        "title": config.title,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "n": config.evaluate.n,
        "training_seeds": training_seeds(config),
        "arms": arms,
        "differences": list(differences(arms, ranked, reference.space.distance)),
        "distance": reference.space.distance,
        "noun": reference.space.noun,
        "visible_part": caption(held_out_shown(scale(config, data.moments), data)),
        "doubts": absent + reference.doubts(config.evaluate.n) + list(non_finite(config, arms)),
        "reference": baseline,
        "protocol": protocol_lines(config, data, reference),
        "config": json.dumps(config.model_dump(), indent=2),
    }


def describe_arm(name: str, experiment: Experiment, state: State, run: Path) -> dict[str, Any]:
    """Describes an arm before it is measured: its size, and its training from metrics.jsonl."""
    log = rows(Folder(run).metrics)  # none, if the weights are from elsewhere
    last = log[-1] if log else {"step": math.nan, "loss": math.nan}
    seconds = sum(row["seconds"] for row in log)
    return {
        "name": name,
        "label": experiment.config.title,
        "changes": {},
        "parameters": sum(a.size for a in jax.tree.leaves(experiment.without_discriminator(state.params))),
        "train_seconds": seconds,
        "steps_per_second": last["step"] / seconds if seconds else math.nan,
        "final_loss": last["loss"],
        "curve": {"step": [row["step"] for row in log], "loss": [row["loss"] for row in log]},
    }


def non_finite(config: Config, arms: list[dict[str, Any]]) -> Iterator[str]:
    """Sentences on results that are not finite, and so in no number and no picture."""
    n = config.evaluate.n * config.evaluate.seeds
    for arm in chain.from_iterable(map(runs_of, arms)):
        for row in arm["samplers"]:
            for setting, place in [(row, ""), *((s, f" of its sweep at NFE {s['nfe']:.0f}") for s in row["sweep"])]:
                if bad := setting["non_finite"]:
                    fate = "left out of the pictures, and their seeds of the measures"
                    yield f"{arm['label']}, {row['label']}{place}: {bad} of {n} not finite ({setting['unsound'][0]}), {fate}"
        bits = arm["bits_per_dim"]
        if bits and (bad := bits["non_finite"]):
            yield f"{arm['label']}: the likelihood of {bad} of {bits['n']} held-out examples is not finite, nor is their mean"
        finite = np.isfinite(arm["loss_by_log_snr"]["loss"])
        if not finite.all():
            yield f"{arm['label']}: the held-out loss is not finite at {(~finite).sum()} of {len(finite)} noise levels"
        if bad := arm["process_non_finite"]:
            yield f"{arm['label']}: no picture of the reverse process, {bad} of its samples are not finite"
        if bad := arm["between_non_finite"]:
            yield f"{arm['label']}: no picture of the way between examples, {bad} of its frames are not finite"
