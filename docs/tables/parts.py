"""The tables of parts: names from the registries, options from the signatures, and the rest from `words`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import annotated_types

import losses
import models
import samplers
from docs.tables import words
from experiments.config import parts
from experiments.config.options import parameters, type_hints
from experiments.config.parts import Kind


def sdes() -> str:
    """Returns a row for every SDE."""
    return _table(parts.SDE, ("SDE", "what it is"), words.SDES)


def networks() -> str:
    """Returns a row for every network, with the parameters of its published sizes."""
    return _table(parts.NET, ("network", "what it is", "parameters"), words.NETWORKS, options=False)


def parameterizations() -> str:
    """Returns a row for everything that a network can predict."""
    return _table(parts.PARAMETERIZATION, ("name", "the network predicts"), words.PARAMETERIZATIONS)


def conditionings() -> str:
    """Returns a row for every form of the noise level."""
    return _table(parts.CONDITIONING, ("name", "the network hears"), words.CONDITIONINGS)


def objectives() -> str:
    """Returns a row for every objective."""
    return _table(parts.OBJECTIVE, ("objective", "what it is"), words.OBJECTIVES)


def weights() -> str:
    """Returns a row for every weight."""
    return _table(parts.WEIGHT, ("weight", "what it is"), words.WEIGHTS)


def times() -> str:
    """Returns a row for every draw of t."""
    return _table(parts.TIMES, ("draw", "what it is"), words.TIMES)


def steps() -> str:
    """Returns a row for every step, with its score evaluations."""
    return _table(parts.STEP, ("step", "what it is", "NFE"), words.STEPS)


def grids() -> str:
    """Returns a row for every grid."""
    return _table(parts.GRID, ("grid", "what it is"), words.GRIDS)


def guidance() -> str:
    """Returns a row for every guidance of a config."""
    return _table(parts.GUIDANCE, ("guidance", "what it is"), words.GUIDANCE)


def conditions() -> str:
    """Returns a row for every condition that is made of an example, by what it is to a network."""
    lines = [("condition", "kind", "what it is", "options"), ("---",) * 4]
    for kind, registry in parts.CONDITIONS.items():
        for name in registry.names:
            part = registry.find(name)
            lines.append((f"`{name}`", f"`{kind}`", _first_line(part).removeprefix("Returns "), _options(registry, part)))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def edits() -> str:
    """Returns a row for every edit, with the numbers that it measures."""
    return _table(parts.EDIT, ("edit", "what it shows", "its numbers"), words.EDITS)


def python_guidance() -> str:
    """Returns a row for every function of a score to a score."""
    return _functions(samplers.GUIDANCE)


def python_conditional() -> str:
    """Returns a row for every function of a step to a conditional step, and for the projections that they take."""
    return _functions(samplers.CONDITIONAL + samplers.PROJECTIONS)


def python_latent() -> str:
    """Returns a row for every function of the latent space."""
    return _functions(samplers.LATENT)


def python_likelihood() -> str:
    """Returns a row for every exact likelihood and every bound."""
    return _functions(samplers.LIKELIHOOD + losses.BOUNDS)


def python_codecs() -> str:
    """Returns a row for every codec."""
    return _functions(models.CODECS)


def python_likelihoods() -> str:
    """Returns a row for every law of x that a decoder emits."""
    return _functions(models.LIKELIHOODS)


def _functions(group: tuple[Callable[..., Any], ...]) -> str:
    """A row for every function of a library's group: its name and the first line of its docstring."""
    rows = [f"| `{part.__module__.partition('.')[0]}.{part.__name__}` | {_first_line(part)} |\n" for part in group]
    return "| function | what it is |\n| --- | --- |\n" + "".join(rows)


def _table(kind: Kind, head: tuple[str, ...], known: dict[str, Any], options: bool = True) -> str:
    """A row for every part of the kind: its name, its words, its options. Without words, the first line of its docstring."""
    lines = [(*head, "options") if options else head]
    lines += [("---",) * len(lines[0])]
    for name in [*(n for n in known if n in kind.names), *(n for n in kind.names if n not in known)]:
        part = kind.find(name)
        row = known.get(name, _first_line(part))
        row = (row,) if isinstance(row, str) else row
        row += ("",) * (len(head) - 1 - len(row))
        lines.append((f"`{name}`", *row, *([_options(kind, part)] if options else [])))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _first_line(part: Callable[..., Any]) -> str:
    return (inspect.getdoc(part) or "").partition("\n")[0].rstrip(":").replace("|", "\\|")


def _options(kind: Kind, part: Callable[..., Any]) -> str:
    """The arguments that a config may set, with their defaults and ranges."""
    hints = type_hints(part)
    free = [p for name, p in parameters(part).items() if name not in kind.context and p.kind is not p.VAR_KEYWORD]
    return ", ".join(_option(p, hints.get(p.name)) for p in free)


def _option(parameter: inspect.Parameter, hint: Any) -> str:
    default = "" if parameter.default is parameter.empty else f"={_shown(parameter.default)}"
    limits = _limits(hint)
    return f"`{parameter.name}{default}`" + (f" ({limits})" if limits else "")


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 4 and len({*value}) == 1:
        return f"({_shown(value[0])},) * {len(value)}"
    return f"{value:g}" if isinstance(value, float) else repr(value).replace("'", '"')


def _limits(hint: Any) -> str:
    """The range or the choices of an annotation."""
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f'"{choice}"' for choice in typing.get_args(hint))
    signs = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
    bounds = []
    for limit in getattr(hint, "__metadata__", ()):
        if isinstance(
            limit, annotated_types.Interval | annotated_types.Gt | annotated_types.Ge | annotated_types.Lt | annotated_types.Le
        ):
            bounds += [
                f"{sign}{getattr(limit, name):g}" for name, sign in signs.items() if getattr(limit, name, None) is not None
            ]
    return ", ".join(bounds)
