"""The words and tables of a report as HTML: the whole page, or a summary for a notebook."""

from __future__ import annotations

from typing import Any

from experiments.config.tree import flatten
from experiments.evaluation import measures
from experiments.evaluation.ranking import Verdict, best_sampler, contenders, verdict
from experiments.evaluation.sweeps import MOST_DRAWN, arms_with_pictures
from experiments.evaluation.tables import Table, tables
from experiments.evaluation.templates import render


def report_html(results: dict[str, Any], images: dict[str, str]) -> str:
    """Returns the page of a report, with the images, data URIs by the names of their files, inside."""
    return render("report", images=images, **_words(results))


def summary_html(results: dict[str, Any]) -> str:
    """Returns the answer of a report and its tables of samplers and of differences."""
    return render("summary", **_words(results))


def report_tables(results: dict[str, Any]) -> dict[str, Table]:
    """Returns the tables of a report by their names, with the best samplers marked."""
    return tables(results, best=[each.best for each in _best_samplers(results).values() if each.best])


def _words(results: dict[str, Any]) -> dict[str, Any]:
    """The results, and what the templates say of them."""
    headline, *_ = measures.measured(results)
    rivals = contenders(headline, results["arms"])
    return results | {
        "headline": headline,
        "plotted": {x: [m.heading(results["distance"]) for m in measures.plotted(results, x)] for x in ("nfe", "w")},
        "verdicts": _best_samplers(results),
        "rivals": rivals,
        "of_arms": verdict(headline, rivals, None if results.get("training_seeds") else results["reference"]),
        "tables": report_tables(results),
        "changed": [[arm["label"], _differences(arm["changes"])] for arm in results["arms"]],
        "most_drawn": MOST_DRAWN,
        "moving": [arm["label"] for arm in arms_with_pictures(results)["arms"] if not arm["process_non_finite"]],
    }


def _best_samplers(results: dict[str, Any]) -> dict[str, Verdict]:
    """The verdict on the samplers of each arm, by its name."""
    headline, *_ = measures.measured(results)
    return {arm["name"]: best_sampler(headline, arm["samplers"], results["reference"]) for arm in results["arms"]}


def _differences(changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """The keys that make an arm, without the title that names it."""
    return sorted((key, value) for key, value in flatten(changes).items() if key != "title")
