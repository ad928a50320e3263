"""The report: numbers as report.json, pictures as PNG and GIF, and all of it as one self-contained report.html."""

from __future__ import annotations

import math
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from experiments.config.tree import flatten
from experiments.data.pictures import picture
from experiments.evaluation import plots
from experiments.runtime.files import replacing, write_json, write_text


def write(workdir: Path, results: dict[str, Any], pictures: dict[str, dict[str, Any]], real: np.ndarray) -> Path:
    """Writes every file of the report into `workdir`; returns the path of report.html.

    `pictures` by arm: `grids`, samples by sampler, and `process`, snapshots [k, n, *event] with noise first; `real`: held out.
    Of what is not finite, n = 0, there is no file of its own, and none is left of an earlier report.
    """
    grids = {arm: drawn["grids"] for arm, drawn in pictures.items()}
    process = {arm: drawn["process"] for arm, drawn in pictures.items()}
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "report.json", results)
    labels = {arm["name"]: arm["label"] for arm in results["arms"]}
    figures = {
        "quality": plots.quality_against_nfe(results),
        "loss_log_snr": plots.loss_against_log_snr(results),
        "curves": plots.training_curves(results),
        "samples": plots.sample_sheet(grids, real, labels),
        "process": plots.process_strip(process, labels),
    }
    if any("w" in point for arm in results["arms"] for row in arm["samplers"] for point in row["sweep"]):
        figures["guidance"] = plots.quality_against_w(results)
    for name, figure in figures.items():
        with replacing(workdir / f"{name}.png") as part:
            figure.savefig(part, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    moving = {arm: snapshots for arm, snapshots in process.items() if snapshots.shape[1]}
    gif = workdir / "reverse_process.gif"
    if moving:
        with replacing(gif) as part:
            plots.process_gif(moving, part)
    else:
        gif.unlink(missing_ok=True)
    for arm, by_sampler in grids.items():
        for sampler, events in by_sampler.items():
            path = workdir / "samples" / f"{arm}_{sampler}.png"
            if len(events):
                with replacing(path) as part:
                    picture(events).save(part)
            else:
                path.unlink(missing_ok=True)

    environment = Environment(
        loader=PackageLoader("experiments.evaluation", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "spread": _spread, "mean_error": _mean_error}
    html = environment.get_template("report.html.jinja").render(
        **results,
        best=_best(results),
        classified=any("accuracy" in row for arm in results["arms"] for row in arm["samplers"]),
        changed=[[arm["label"], _differences(arm["changes"])] for arm in results["arms"]],
        moving=[labels[arm] for arm in moving],
        images={
            path.stem: _data_uri(path) for path in [*(workdir / f"{name}.png" for name in figures), *([gif] if moving else [])]
        },
    )
    path = workdir / "report.html"
    write_text(path, html)
    return path


def _differences(changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """The keys that make an arm, without the title that names it."""
    return sorted((key, value) for key, value in flatten(changes).items() if key != "title")


def _best(results: dict[str, Any]) -> dict[str, Any]:
    """The row of the table with the least Fréchet distance in each arm: {arm name: row}; arms without a finite one left out."""
    best = {}
    for arm in results["arms"]:
        finite = [row for row in arm["samplers"] if math.isfinite(row["frechet"]["mean"])]
        if finite:
            best[arm["name"]] = min(finite, key=lambda row: row["frechet"]["mean"])
    return best


def _number(value: float | None, digits: int = 3) -> str:
    """Three significant digits; a dash for what is not finite."""
    if value is None or not math.isfinite(value):
        return "—"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(decimals, 4)}f}"


def _spread(summary: dict[str, Any], times: float = 1) -> str:
    """mean ± standard deviation, at the precision of the mean, both `times` as large."""
    if not summary["values"]:
        return "— (not finite)"
    mean = _number(times * summary["mean"])
    decimals = len(mean.partition(".")[2])
    return f"{mean} ± {times * summary['std']:.{decimals}f}"


def _mean_error(summary: dict[str, Any]) -> str:
    """mean ± standard error to a thousandth; how many are not finite, where any is."""
    if summary["non_finite"]:
        return f"— ({summary['non_finite']} not finite)"
    error = summary["std_error"]
    return f"{summary['mean']:.3f}" + (f" ± {error:.3f}" if math.isfinite(error) else "")


def _data_uri(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{b64encode(path.read_bytes()).decode()}"
