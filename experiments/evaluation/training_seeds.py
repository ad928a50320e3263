"""An arm over its training runs, one from each training seed: a description of the same form, with means and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.evaluation import measures
from experiments.evaluation.spreads import Spread, over_training_seeds, root_mean_square, spread_of

Row = dict[str, Any]


def arm_of_runs(name: str, label: str, runs: Mapping[int, Row]) -> Row:
    """Returns the description of an arm from those of its runs, by their training seeds.

    Its form is that of a run: numbers are means over runs, but the seconds of work and the counts of what is not finite are
    sums, and a measure is a `Spread` over training seeds. `runs` are the descriptions themselves, each with its `seed`.
    """
    each = list(runs.values())
    step, losses = common_curve(each)
    final = spread_of([run["final_loss"] for run in each], alone=np.nan)
    return {
        **each[0],
        "name": name,
        "label": label,
        "train_seconds": sum(run["train_seconds"] for run in each),
        "evaluate_seconds": sum(run["evaluate_seconds"] for run in each),
        "steps_per_second": _mean(run["steps_per_second"] for run in each),
        "final_loss": final["mean"],
        "final_loss_std": final["std"],
        "curve": {"step": step, "loss": losses.mean(0).tolist()},
        "samplers": [_row(dict(zip(runs, rows, strict=True))) for rows in zip(*(run["samplers"] for run in each), strict=True)],
        "bits_per_dim": _bits({seed: run["bits_per_dim"] for seed, run in runs.items()}),
        "loss_by_log_snr": _loss([run["loss_by_log_snr"] for run in each]),
        "process_non_finite": sum(run["process_non_finite"] for run in each),
        "between_non_finite": sum(run["between_non_finite"] for run in each),
        "runs": [run | {"seed": seed, "label": f"{label}, seed {seed}"} for seed, run in runs.items()],
    }


def runs_of(arm: Row) -> list[Row]:
    """Returns the runs of an arm: those of its training seeds, or the arm itself, which is one."""
    return arm.get("runs", [arm])


def common_curve(runs: Sequence[Row]) -> tuple[list[int], np.ndarray]:
    """Returns the steps that every log has, and the losses there [run, step]; nan where no loss was finite."""
    logs = [dict(zip(run["curve"]["step"], run["curve"]["loss"], strict=True)) for run in runs]
    steps = sorted(set.intersection(*map(set, logs)))
    return steps, np.array([[log[step] for step in steps] for log in logs], float)


def _row(by_seed: Mapping[int, Row]) -> Row:
    """The row of a sampler, or of a point of its sweep."""
    each = list(by_seed.values())
    names = [name for name in (*(m.name for m in measures.MEASURES), measures.CHOICE) if any(name in row for row in each)]
    measured = {name: {seed: row[name] for seed, row in by_seed.items() if name in row} for name in names}
    sweeps = [dict(zip(by_seed, points, strict=True)) for points in zip(*(row.get("sweep", ()) for row in each), strict=True)]
    return {
        **each[0],
        "nfe": _mean(row["nfe"] for row in each),
        "seconds": _mean(row["seconds"] for row in each),
        "non_finite": sum(row["non_finite"] for row in each),
        "unsound": [why for row in each for why in row["unsound"]],
        **{name: over_training_seeds(spreads) for name, spreads in measured.items()},
        **({"sweep": [_row(points) for points in sweeps]} if "sweep" in each[0] else {}),
    }


def _bits(by_seed: Mapping[int, Row | None]) -> Row | None:
    """Bits/dim, all of the same examples: their mean over runs; `std_error` stays that over examples."""
    there = {seed: bits for seed, bits in by_seed.items() if bits}
    if not there:
        return None
    first = next(iter(there.values()))
    bounds = {seed: bits["bound"] for seed, bits in there.items() if bits["bound"]}
    return {
        **first,
        **_over_examples(there),
        "nfe": _mean(bits["nfe"] for bits in there.values()),
        "dequantizer_fit": None,  # each run has its own
        "bound": first["bound"] | _over_examples(bounds) if bounds else None,
    }


def _over_examples(by_seed: Mapping[int, Row]) -> Spread:
    """The spread over training seeds of means over examples."""
    means = {seed: {"mean": each["mean"], "std": 0.0, "values": []} for seed, each in by_seed.items()}
    spread = {key: value for key, value in over_training_seeds(means).items() if key != "sampling_std"}
    error = root_mean_square([each["std_error"] for each in by_seed.values()])
    return spread | {"std_error": error, "non_finite": sum(each["non_finite"] for each in by_seed.values())}


def _loss(curves: Sequence[Row]) -> Row:
    """The loss by noise level: its mean over runs and its standard deviation `std` over them; `std_error` is over examples."""
    losses, errors = (np.array([curve[key] for curve in curves], float) for key in ("loss", "std_error"))
    std = losses.std(0, ddof=1) if len(curves) > 1 else np.full_like(losses[0], np.nan)
    return {
        "log_snr": curves[0]["log_snr"],
        "loss": losses.mean(0).tolist(),
        "std": std.tolist(),
        "std_error": np.sqrt((errors**2).mean(0)).tolist(),
    }


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
