"""The report: numbers as JSON, CSV and LaTeX, pictures as PNG and GIF, and all of it as one self-contained report.html."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.canvas import save
from experiments.data.pictures import picture
from experiments.data.views import View
from experiments.evaluation import plots, sample_sheets
from experiments.evaluation.report_html import report_html, report_tables
from experiments.evaluation.sweeps import arms_with_pictures
from experiments.evaluation.tables import TABLES, Table
from experiments.runtime.errors import brief
from experiments.runtime.files import replacing, write_json, write_text
from experiments.runtime.progress import say
from experiments.sampling.figures import interpolation

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.figure import Figure


def write_report(workdir: Path, results: dict[str, Any], pictures: dict[str, dict[str, Any]], real: np.ndarray) -> Path:
    """Writes every file of the report into `workdir`; returns the path of report.html.

    `pictures` by arm: `grids`, samples by sampler; `process`, snapshots [k, n, *event] with noise first; and perhaps
    `between`, frames [pairs, k, *event] with the examples at both ends. `real`: held out.
    The numbers are written first: a picture that fails is said, and takes nothing else with it.
    """
    write_json(workdir / "report.json", results)
    by_name = report_tables(results)
    drawings = _drawings(results, pictures, real)
    _remove_earlier(workdir, by_name, drawings)
    for name, table in by_name.items():
        write_text(workdir / "tables" / f"{name}.csv", table.csv())
        write_text(workdir / "tables" / f"{name}.tex", table.latex())
    images, lost = {}, []
    for name, draw in drawings.items():
        path = workdir / name
        try:
            if draw is None:
                continue
            with replacing(path) as part:
                draw(part)
        except Exception as error:  # hours of training are worth more than one picture of them
            path.unlink(missing_ok=True)
            lost.append(f"{name} could not be drawn ({brief(error)})")
            say(f"warning: {lost[-1]}")
        else:
            images |= {path.stem: _data_uri(path)} if path.parent == workdir else {}
    path = workdir / "report.html"
    write_text(path, report_html(results | {"doubts": results["doubts"] + lost}, images))
    return path


def _remove_earlier(workdir: Path, by_name: dict[str, Table], drawings: dict[str, Callable[[Path], Any] | None]) -> None:
    """Removes the tables and pictures of an earlier report that this one does not have."""
    files = {workdir / "tables" / f"{name}.{kind}" for name in TABLES if name not in by_name for kind in ("csv", "tex")}
    pictures = {workdir / name for name in drawings} | {*workdir.glob("sheets/*/*.png")}
    for path in files | pictures - {workdir / name for name, draw in drawings.items() if draw}:
        path.unlink(missing_ok=True)


def _drawings(
    results: dict[str, Any], pictures: dict[str, dict[str, Any]], real: np.ndarray
) -> dict[str, Callable[[Path], Any] | None]:
    """The functions that write each picture to a path, by its file; None for a file of which nothing is finite or asked for."""
    every, results = results, arms_with_pictures(results)
    pictures = {arm["name"]: pictures[arm["name"]] for arm in results["arms"]}
    labels = {arm["name"]: arm["label"] for arm in results["arms"]}
    grids = {arm: each["grids"] for arm, each in pictures.items()}
    process = {arm: each["process"] for arm, each in pictures.items()}
    ways = {labels[arm]: each["between"] for arm, each in pictures.items() if len(each.get("between", ()))}
    moving = {arm: snapshots for arm, snapshots in process.items() if snapshots.shape[1]}
    view = View.of(real)
    by_noise = any(arm["loss_by_log_snr"]["loss"] for arm in results["arms"])
    guided = any("w" in point for arm in results["arms"] for row in arm["samplers"] for point in row["sweep"])

    def figure(draw: Callable[..., Any], *of: Any) -> Callable[[Path], Any]:
        return lambda path: save(draw(*of), path)

    def sheet(events: np.ndarray) -> Callable[[Path], Any]:
        return lambda path: picture(events, view=view).save(path)

    return {
        "sweep.png": figure(plots.quality_against_keys, every) if every.get("swept") else None,
        "quality.png": figure(plots.quality_against_nfe, results),
        "guidance.png": figure(plots.quality_against_w, results) if guided else None,
        "loss_log_snr.png": figure(plots.loss_against_log_snr, results) if by_noise else None,
        "curves.png": figure(plots.training_curves, results),
        "samples.png": figure(sample_sheets.first_samples, grids, real, labels),
        "between.png": figure(_ways, ways, real) if ways else None,
        "process.png": figure(sample_sheets.process_strip, process, labels, view),
        "reverse_process.gif": partial(sample_sheets.process_gif, moving, view=view) if moving else None,
        **{
            f"sheets/{arm}/{sampler}.png": sheet(events) if len(events) else None
            for arm, by_sampler in grids.items()
            for sampler, events in by_sampler.items()
        },
    }


def _ways(ways: dict[str, np.ndarray], real: np.ndarray) -> Figure:
    """The way between examples in each arm, of which the first and the last frame are the examples."""
    whole = next(iter(ways.values()))
    return interpolation({label: frames[:, 1:-1] for label, frames in ways.items()}, (whole[:, 0], whole[:, -1]), real)


def _data_uri(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{b64encode(path.read_bytes()).decode()}"
