"""The templates of reports, which stand beside this file."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader

from experiments.evaluation import formats


def render(name: str, **values: Any) -> str:
    """Returns the HTML of NAME.html.jinja; texts among the values are escaped."""
    return _environment().get_template(f"{name}.html.jinja").render(**values)


@cache
def _environment() -> Environment:
    loader = PackageLoader("experiments.evaluation", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {f.__name__: f for f in (formats.number, formats.mean_std, formats.listed)}
    return environment
