"""The report of an evaluation or of a comparison in Python: its numbers, tables and pictures.

    report = experiments.compare("configs/digits/ddpm_vs_ncsn.py", "runs/demo")
    report                       # a notebook shows the answer and the tables
    report.picture("samples")
    report.run("ddpm")           # the run of an arm

It is read from the folder, whoever wrote it there: a command, or a call from Python.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.commands import compare as compare_command
from experiments.commands import evaluate as evaluate_command
from experiments.config.messages import suggestion
from experiments.evaluation.report_html import report_tables, summary_html
from experiments.evaluation.tables import Table
from experiments.run import ConfigSource, Run, call_from_python, open_run
from experiments.runtime.errors import ConfigError, StorageError


def evaluate(run: str | Path | Run, *overrides: str, keep_compiled: bool = True) -> Report:
    """Measures a trained run and writes its report into its folder, as the command `evaluate` does, and opens the report.

    Raises ConfigError, DataError, NumericsError or StorageError. `overrides` are changes as `experiments.open_run` takes them.
    """
    folder = run.folder if isinstance(run, Run) else run
    evaluate_command.run(call_from_python("evaluate", folder, None, overrides, keep_compiled))
    return open_report(folder)


def compare(
    config: ConfigSource, workdir: str | Path, *overrides: str, allow_change: Sequence[str] = (), keep_compiled: bool = True
) -> Report:
    """Trains and measures every arm of a config, as the command `compare` does, and opens the report.

    `config`: a file, or what its `get_config()` returns. If some arms failed, the report of the others is in the folder, and
    the first of the errors is raised: ConfigError, DataError, NumericsError or StorageError.
    """
    compare_command.run(call_from_python("compare", workdir, config, overrides, keep_compiled, allow_change))
    return open_report(workdir)


def open_report(folder: str | Path) -> Report:
    """Opens the report of an evaluation or a comparison in that folder. Raises StorageError if there is none."""
    folder = Path(folder).expanduser()
    for name in ("report", "classifier"):
        if (file := folder / f"{name}.json").is_file():
            return Report(folder, name, json.loads(file.read_text(encoding="utf-8"), object_hook=_with_nan))
    raise StorageError(f"{folder} holds no report: experiments.evaluate(run) or experiments.compare(config, folder) writes one")


def _with_nan(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of a measure with nan again where JSON, which has none, has null."""
    spreads = ("mean", "std", "std_error", "sampling_std")
    return {key: math.nan if value is None and key in spreads else value for key, value in summary.items()}


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A report. `results` is the content of its file `name`.json; the name is "report", or "classifier" of a classifier."""

    folder: Path
    name: str
    results: dict[str, Any]

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by their names, which a notebook shows; `csv()` and `latex()` are their texts. A classifier has none."""
        return report_tables(self.results) if self.name == "report" else {}

    def picture(self, name: str = "") -> Image.Image:
        """Returns a picture of the report: "samples", "quality", "curves" and others. Raises ConfigError if there is none."""
        name = name or {"report": "samples"}.get(self.name, self.name)
        file = self.folder / f"{name}.png"
        if not file.is_file():
            raise ConfigError(f"no picture {name!r}{suggestion(name, sorted(path.stem for path in self.folder.glob('*.png')))}")
        with Image.open(file) as picture:
            picture.load()
            return picture

    def run(self, arm: str = "") -> Run:
        """Opens the run of an arm, by its name, or the one run of an evaluation."""
        arms = [each["name"] for each in self.results.get("arms", [])]
        if arms in ([], ["run"]):
            return open_run(self.folder)
        if arm not in arms:
            raise ConfigError(f"no arm {arm!r}{suggestion(arm, arms)}")
        return open_run(self.folder / arm)

    def _repr_html_(self) -> str:
        """Returns the answer of the report and its first tables, for a notebook."""
        if self.name == "report":
            return summary_html(self.results)
        return f"<h3>{escape(self.results['title'])}</h3>"

    def __repr__(self) -> str:
        return f"Report({str(self.folder / self.name)!r}, {self.results['title']!r})"
