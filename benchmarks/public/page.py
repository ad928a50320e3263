"""The page of all figures: a line for each package, the findings with their reasons, and every number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.common.markdown import table

ROUNDING = 1e-5
"""Errors below this, in units of the law's std, feel the rounding of float32."""
FAR = 0.025
"""A W_2, in the same units, that exact draws do not reach: theirs is 0.01 in the mean, and 0.018 of an unlucky seed."""
TOLERANCE = 0.3
"""The most that a measured order may lie below the claimed one."""

COMMAND = "python -m benchmarks.public --out runs/public"
INTRODUCTION = """# Public implementations, against laws that are exact

The packages of diffusion that pip installs, each run as its users run it, with the exact score of two laws in place of a
network: what its samplers and likelihoods get right, and what they do not, is their own doing. This library is one of the
rows.

`{command}`, on {day}. Every package is in an environment of its own, at the
version in the table; `--only NAME` repeats one. The laws are N(0.25, 0.2²) and 0.35 N(-0.35, 0.18²) + 0.65 N(0.3, 0.13²),
for each number of an event on its own. They lie in [-1, 1] like the images to which several packages clip.

- **law**: W₂ of 32,768 numbers to the law that the sampler ends at, in units of its std, at the steps that users take and
  at more. As many exact draws are at {floor:.3f}. A law is right if the distance at the more steps is at most {far}, or half
  of that at the fewer.
- **order**: how the mean distance to the exact endpoint of the probability flow, from the sampler's own start, falls as
  steps double from 8 to 128: that of the last doubling above the rounding of float32. In one dimension the flow keeps
  quantiles, so the endpoint is F₀⁻¹(F₁(x)). An order is right if it is at most {tolerance} below what the package says.
- **likelihood**: log p of 256 events of four numbers against the exact one, in nats for each number. It is right if the
  mean error is at most 0.01, or within three standard errors of zero.

The score is of the law that the package's own forward process makes, as training would learn it, and goes in as whatever
the package's networks predict. The source of every row that is off was read: a *bug* contradicts the package's own
equations or words, a *convention* is a choice that users must know, an *approximation* is one that its authors state, and a
*limit* is a case that the code does not serve."""


NOT_MEASURED = {
    "torchcfm 1.0.7": "it trains flows, which its examples integrate by torchdyn or torchdiffeq",
    "matchax 0.0.1": "its wheel holds a greeting",
    "sbi 0.27.0, bayesflow 2.1.0": "their score networks live in estimators that they train, and take no exact score",
}


class Finding(NamedTuple):
    """A row that is off: the package, the sampler or likelihood, the number, and the reason."""

    package: str
    row: str
    number: str
    reason: str


def order(errors: dict[str, float]) -> float:
    """Returns the slope of the last doubling of steps whose errors are above the rounding; nan of none."""
    points = [(int(n), error) for n, error in errors.items() if error > ROUNDING]
    slopes = [math.log2(a / b) for (n, a), (m, b) in pairwise(points) if m == 2 * n]
    return slopes[-1] if slopes else math.nan


def slope(errors: dict[str, float]) -> str:
    """The order to a tenth, zero without a sign."""
    return f"{round(order(errors), 1) + 0:.1f}"


def law_is_right(measured: list[dict[str, float]]) -> bool:
    first, last = measured[0]["distance"], measured[-1]["distance"]
    return last <= FAR or last <= first / 2


def failure(error: str) -> str:
    """'raises TypeError: ' and the first clause of its message, without addresses of objects; or that draws are not finite."""
    kind, _, message = error.partition(": ")
    first = re.split(r"[.,:;] ", re.sub(r"<.*? at 0x\w+>", "<...>", message))[0].rstrip(".")
    return first if kind == "FloatingPointError" else f"raises {kind}: {first}"


def laws(row: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, float]], str]]:
    """The law's name, the measurements at each number of steps, and the error that one raised."""
    for name, of_steps in row["law"].items():
        measured = list(of_steps.values())
        yield name, measured, next((each["error"] for each in measured if "error" in each), "")


def sampler_findings(row: dict[str, Any]) -> Iterator[str]:
    for name, measured, error in laws(row):
        if error:
            yield failure(error)
            return
        if not law_is_right(measured):
            distances = " then ".join(f"{each['distance']:.3f}" for each in measured)
            yield f"W₂ on the {name} {distances} at {' and '.join(row['law'][name])} steps"
    if row["order"] and "error" in row["errors"]:
        yield failure(row["errors"]["error"])
    elif row["order"] and not order(row["errors"]) >= row["order"] - TOLERANCE:
        yield f"order {slope(row['errors'])}, not {row['order']}"


def likelihood_findings(row: dict[str, Any]) -> Iterator[str]:
    for name, of in row["law"].items():
        if "error" in of:
            yield failure(of["error"])
            return
        if not likelihood_is_right(of):
            yield f"off by {of['mean']:+.3f} ± {of['se']:.3f} nats on the {name}"


def likelihood_is_right(of: dict[str, float]) -> bool:
    return abs(of["mean"]) <= 0.01 or abs(of["mean"]) <= 3 * of["se"]


def findings(figures: dict[str, Any]) -> list[Finding]:
    """Every row that is off."""
    kinds = (("samplers", sampler_findings), ("likelihoods", likelihood_findings))
    return [
        Finding(of["package"], name, "; ".join(numbers), row["note"] or "not explained")
        for of in figures.values()
        for kind, find in kinds
        for name, row in of[kind].items()
        if (numbers := list(find(row)))
    ]


def line(of: Finding) -> str:
    """A finding of the list, with the kind of its reason in italics."""
    reason = re.sub(r"^(\w+):", r"*\1*:", of.reason)
    return f"- **{of.package}**, {of.row}: {of.number}. {reason}."


def count(rows: dict[str, Any], find: Any, only: Any = lambda row: True) -> str:
    """'3 of 4', or nothing if there is none."""
    chosen = [row for row in rows.values() if only(row)]
    return f"{sum(not list(find(row)) for row in chosen)} of {len(chosen)}" if chosen else ""


def summary(figures: dict[str, Any]) -> str:
    """A line for each package: how many rows are right."""
    rows = [
        [
            f"{of['package']} {of['version']}",
            count(of["samplers"], sampler_findings),
            count(of["likelihoods"], likelihood_findings),
        ]
        for of in figures.values()
    ]
    return table(["package", "samplers right", "likelihoods right"], rows)


def details(of: dict[str, Any]) -> str:
    """Every number of a package."""
    parts = [f"### {of['package']} {of['version']}"]
    rows = [sampler_row(name, row) for name, row in of["samplers"].items()]
    parts.append(table(["sampler", "steps", "W₂, Gaussian", "W₂, mixture", "order", "said", "error at 64 steps"], rows))
    if of["likelihoods"]:
        rows = [[name, *(likelihood_cell(each) for each in row["law"].values())] for name, row in of["likelihoods"].items()]
        parts.append(table(["likelihood", "Gaussian, nats", "mixture, nats"], rows))
    return "\n\n".join(parts)


def likelihood_cell(of: dict[str, Any]) -> str:
    return of["error"].split(":")[0] if "error" in of else f"{of['mean']:+.4f} ± {of['se']:.4f}"


def sampler_row(name: str, row: dict[str, Any]) -> list[str]:
    cells = [name, ", ".join(next(iter(row["law"].values())))]
    for _, measured, error in laws(row):
        cells.append(error.split(":")[0] or ", ".join(f"{each['distance']:.3f}" for each in measured))
    errors = row["errors"]
    if not row["order"] or "error" in errors:
        return [*cells, "", str(row["order"] or ""), ""]
    return [*cells, slope(errors), str(row["order"]), f"{errors['64']:.1e}"]


def page(figures: dict[str, Any], day: date, later: Sequence[str] = (), command: str = COMMAND) -> str:
    """The page, in Markdown. `later`: packages that have an adapter and no figures yet."""
    exact = [
        measured["floor"]
        for of in figures.values()
        for row in of["samplers"].values()
        for _, at, error in laws(row)
        if not error
        for measured in at
    ]
    numbers = {"floor": max(exact, default=0.0), "far": FAR, "tolerance": TOLERANCE}
    parts = [INTRODUCTION.format(command=command, day=day.isoformat(), **numbers), summary(figures)]
    parts.append("## What is off, and why")
    parts.append("\n".join(map(line, findings(figures))) or "Nothing.")
    parts.append("Not measured: " + "; ".join(f"{name} ({why})" for name, why in NOT_MEASURED.items()) + ".")
    if later:
        parts.append(f"Not measured yet, with an adapter in `benchmarks/public/packages`: {', '.join(later)}.")
    parts.append("## Every number")
    return "\n\n".join([*parts, *map(details, figures.values())]) + "\n"
