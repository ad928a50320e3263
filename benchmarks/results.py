"""The reports of comparisons as parts of docs/results.md: their tables, their samples, their protocol and their command.

python -m benchmarks.results NAME=REPORT ... [--write docs/results.md]

NAME is a part of the page, and REPORT the folder that a command has written a report into. Seconds are left out, as they are a
machine's; the report has them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from PIL import Image

import experiments
from benchmarks.common.markdown import table
from benchmarks.common.marked import write_part
from experiments.evaluation.tables import Table
from experiments.report import Report

SHOWN = {
    "samplers": {"arm", "sampler", "n", "seeds", "NFE"},
    "likelihood": {"arm", "bits/dim ↓", "variational bound ↓", "held-out examples"},
}
"""The tables that are shown and their columns, beside those of measures."""
WIDTH = 1000
"""The most pixels of a picture from left to right."""


def shown(of: Table, columns: set[str]) -> str:
    """Returns a table of a report with these columns and those of measures, whose headings end in an arrow."""
    kept = [i for i, column in enumerate(of.columns) if column.heading in columns or column.heading[-1] in "↓↑"]
    return table([of.columns[i].heading for i in kept], [[row[i] for i in kept] for row in of.texts()])


def part(name: str, report: Report, folder: Path) -> str:
    """Returns a part of the page; its picture is written to `folder`."""
    folder.mkdir(exist_ok=True)
    samples = report.picture("samples")
    samples.thumbnail((WIDTH, samples.height), Image.Resampling.LANCZOS)
    samples.convert("RGB").quantize(64).save(folder / f"{name}.png", optimize=True)
    command = re.sub(r"--workdir=\S+", f"--workdir=runs/{name}", report.results["command"])
    tables = [shown(report.tables[each], columns) for each, columns in SHOWN.items() if each in report.tables]
    protocol = table(["protocol", ""], [[key, words.replace("|", "\\|")] for key, words in report.results["protocol"]])
    picture = f"![Samples of {report.results['title']}]({folder.name}/{name}.png)"
    return "\n\n".join([f"```\n{command}\n```", *tables, picture, protocol]) + "\n"


def main() -> None:
    """Prints each part, or writes it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="NAME=REPORT")
    parser.add_argument("--write", type=Path, default=Path("docs/results.md"), metavar="FILE", help="the page")
    words = parser.parse_args()
    for each in words.reports:
        name, _, report = each.partition("=")
        text = part(name, experiments.open_report(report), words.write.parent / words.write.stem)
        write_part(words.write, f"benchmarks.results {name}", text)


if __name__ == "__main__":
    main()
