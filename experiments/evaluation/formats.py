"""Numbers as the report writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits; a dash for a number that is not finite."""
    if value is None or not math.isfinite(value):
        return "—"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(decimals, 4)}f}"


def mean_std(summary: dict[str, Any], times: float = 1) -> str:
    """mean ± standard deviation, at the precision of the mean, both `times` as large."""
    if not summary["values"]:
        return "— (not finite)"
    mean = number(times * summary["mean"])
    decimals = len(mean.partition(".")[2])
    return f"{mean} ± {times * summary['std']:.{decimals}f}"


def mean_error(summary: dict[str, Any]) -> str:
    """mean ± standard error to a thousandth; or the count of values that are not finite, if there are any."""
    if summary["non_finite"]:
        return f"— ({summary['non_finite']} not finite)"
    error = summary["std_error"]
    return f"{summary['mean']:.3f}" + (f" ± {error:.3f}" if math.isfinite(error) else "")


def listed(words: Sequence[str]) -> str:
    """The words as a phrase: a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
