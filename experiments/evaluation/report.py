"""The report: numbers as report.json, pictures as PNG and GIF, and all of it as one self-contained report.html."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from experiments.config.tree import flatten
from experiments.data.pictures import picture
from experiments.evaluation import formats, measures, plots, sample_sheets
from experiments.evaluation.ranking import verdict
from experiments.runtime.files import replacing, write_json, write_text


def write_report(workdir: Path, results: dict[str, Any], pictures: dict[str, dict[str, Any]], real: np.ndarray) -> Path:
    """Writes every file of the report into `workdir`; returns the path of report.html.

    `pictures` by arm: `grids`, samples by sampler, and `process`, snapshots [k, n, *event] with noise first; `real`: held out.
    """
    grids = {arm: each["grids"] for arm, each in pictures.items()}
    process = {arm: each["process"] for arm, each in pictures.items()}
    write_json(workdir / "report.json", results)
    images = _write_figures(workdir, results, grids, process, real)
    moving = {arm: snapshots for arm, snapshots in process.items() if snapshots.shape[1]}
    images += _write_gif(workdir / "reverse_process.gif", moving)
    _write_samples(workdir / "samples", grids)
    path = workdir / "report.html"
    write_text(path, _page(results, list(moving), images))
    return path


def _write_figures(
    workdir: Path, results: dict[str, Any], grids: dict[str, Any], process: dict[str, Any], real: np.ndarray
) -> list[Path]:
    """Writes the figures; the paths of their files."""
    labels = {arm["name"]: arm["label"] for arm in results["arms"]}
    figures = {
        "quality": plots.quality_against_nfe(results),
        "loss_log_snr": plots.loss_against_log_snr(results),
        "curves": plots.training_curves(results),
        "samples": sample_sheets.first_samples(grids, real, labels),
        "process": sample_sheets.process_strip(process, labels),
    }
    if any("w" in point for arm in results["arms"] for row in arm["samplers"] for point in row["sweep"]):
        figures["guidance"] = plots.quality_against_w(results)
    for name, figure in figures.items():
        with replacing(workdir / f"{name}.png") as part:
            figure.savefig(part, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    return [workdir / f"{name}.png" for name in figures]


def _write_gif(path: Path, process: dict[str, np.ndarray]) -> list[Path]:
    """Writes the moving reverse process; its path, or none and no file of an earlier report if nothing of it is finite."""
    if not process:
        path.unlink(missing_ok=True)
        return []
    with replacing(path) as part:
        sample_sheets.process_gif(process, part)
    return [path]


def _write_samples(folder: Path, grids: dict[str, dict[str, np.ndarray]]) -> None:
    """Writes the samples of every arm and sampler; of none that are finite no file, and none of an earlier report."""
    for arm, by_sampler in grids.items():
        for sampler, events in by_sampler.items():
            path = folder / f"{arm}_{sampler}.png"
            if len(events):
                with replacing(path) as part:
                    picture(events).save(part)
            else:
                path.unlink(missing_ok=True)


def _page(results: dict[str, Any], moving: list[str], images: list[Path]) -> str:
    """report.html, with the images inside; `moving` are the names of the arms in the GIF."""
    loader = PackageLoader("experiments.evaluation", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {f.__name__: f for f in (formats.number, formats.mean_std, formats.mean_error, formats.listed)}
    labels = {arm["name"]: arm["label"] for arm in results["arms"]}
    headline, *_ = columns = measures.measured(results)
    verdicts = {arm["name"]: verdict(headline, arm["samplers"], results["reference"]) for arm in results["arms"]}
    return environment.get_template("report.html.jinja").render(
        **results,
        columns=columns,
        headline=headline,
        plotted={x: [m.heading(results["distance"]) for m in measures.plotted(results, x)] for x in ("nfe", "w")},
        verdicts=verdicts,
        changed=[[arm["label"], _differences(arm["changes"])] for arm in results["arms"]],
        moving=[labels[arm] for arm in moving],
        images={path.stem: _data_uri(path) for path in images},
    )


def _differences(changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """The keys that make an arm, without the title that names it."""
    return sorted((key, value) for key, value in flatten(changes).items() if key != "title")


def _data_uri(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{b64encode(path.read_bytes()).decode()}"
