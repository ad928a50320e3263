"""Marks of tests of which only some cases are slow."""

from collections import Counter

import pytest

slow_for = pytest.mark.slow_for
"""slow_for(*names): the cases are slow whose parameters include one of these names."""
one_in = pytest.mark.one_in
"""one_in(n): the cases are much alike; of each n on end the first is fast, and the others are slow."""


def mark_slow(items):
    """Adds the mark `slow` to the cases that `slow_for` and `one_in` name."""
    seen = Counter()
    for item in items:
        names = item.callspec.id.split("-") if hasattr(item, "callspec") else []
        number = seen[item.module, item.originalname]
        seen[item.module, item.originalname] += 1
        if any(name in names for mark in item.iter_markers("slow_for") for name in mark.args):
            item.add_marker(pytest.mark.slow)
        if any(number % mark.args[0] for mark in item.iter_markers("one_in")):
            item.add_marker(pytest.mark.slow)
