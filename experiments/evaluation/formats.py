"""Numbers as the report writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def number(value: float | None) -> str:
    """Three significant digits, below 1e-3 with a power of ten; a dash for a number that is not finite."""
    if value is None or not math.isfinite(value):
        return "—"
    power = _power(value)
    return f"{value:.2e}".replace("e-0", "e-") if power < -3 else _fixed(value, power)


def mean_std(summary: dict[str, Any], times: float = 1) -> str:
    """mean ± standard deviation, both `times` as large, with the decimals that the larger has at three significant digits.

    A single value whose spread is not known stands alone.
    """
    if not summary["values"]:
        return "— (not finite)"
    if not math.isfinite(summary["std"]):
        return number(times * summary["mean"])
    pair = times * summary["mean"], times * summary["std"]
    power = _power(max(map(abs, pair)))
    if power < -3:
        mean, std = (_fixed(x / 10.0**power, 0) for x in pair)
        return f"({mean} ± {std})e{power}"
    mean, std = (_fixed(x, power) for x in pair)
    return f"{mean} ± {std}"


def _power(value: float) -> int:
    """The power of ten of a number rounded to three significant digits; 2 of zero, which needs no decimals."""
    return int(f"{value:.2e}".partition("e")[2]) if value else 2


def _fixed(value: float, power: int) -> str:
    """A number with the decimals that one of that power of ten has at three significant digits."""
    return f"{value:z,.{max(0, 2 - power)}f}"


def mean_error(summary: dict[str, Any], error: str = "std_error") -> str:
    """mean ± error, the number of that key, to a thousandth; or the count of values that are not finite, if the mean is not."""
    if not math.isfinite(summary["mean"]):
        return f"— ({summary['non_finite']} not finite)"
    spread = summary[error]
    return f"{summary['mean']:.3f}" + (f" ± {spread:.3f}" if math.isfinite(spread) else "")


def listed(words: Sequence[Any]) -> str:
    """The words, or numbers, as a phrase: a, b and c."""
    return " and ".join(filter(None, (", ".join(map(str, words[:-1])), str(words[-1])))) if words else ""
