"""The reference of every config key: type, default and range, read from the schema, and meaning, from the docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from experiments.config.parts import CONDITIONS
from experiments.config.problems import ADVERSARIAL_PARTS, CODEC_PARTS, EDIT_PARTS, PARTS, SAMPLER_PARTS, TRAIN_PARTS
from experiments.config.schema import (
    Adversarial,
    CodecConfig,
    Condition,
    Conditions,
    Config,
    EditConfig,
    LearnedSDE,
    Named,
    Sampler,
    Strict,
    Train,
)

LABEL = "LABEL"
"""This word stands for a name that users choose, such as a sampler's."""


OF_SECTIONS = {Config: PARTS, Train: TRAIN_PARTS, Sampler: SAMPLER_PARTS, CodecConfig: CODEC_PARTS, EditConfig: EDIT_PARTS}
OF_SECTIONS |= {Conditions: CONDITIONS, Adversarial: ADVERSARIAL_PARTS}
"""For each section the kinds of the parts that it names."""
PART_NAMES = {part.__name__ for part in (Named, Condition, LearnedSDE)}
"""The types of a part's section."""


class Key(NamedTuple):
    """A key of a config: its path with dots, and `type`, `default`, `range` and `meaning` in words."""

    path: str
    type: str
    default: str
    range: str
    meaning: str


def keys(prefix: str = "") -> list[Key]:
    """Returns the key `prefix` and those below it, in the order of the schema; all of them if it is empty."""
    return [key for key in _below(Config, "") if not prefix or key.path == prefix or key.path.startswith(f"{prefix}.")]


def _below(section: type[BaseModel], above: str) -> Iterator[Key]:
    properties, meanings = section.model_json_schema(ref_template="{model}")["properties"], _meanings(section)
    for name, field in section.model_fields.items():
        path, below = f"{above}{name}", _section(field.annotation)
        meaning = meanings[name] if below is None else (below.__doc__ or "").partition("\n")[0].rstrip(".")
        default = "required" if field.is_required() else _value(field.get_default(call_default_factory=True))
        kind, limits = _type(properties[name]), _range(properties[name])
        if below is None:
            yield Key(path, kind, default, limits, _with_names(meaning, section, name))
        else:
            yield Key(path, "section", default if default in ("required", "None") else "", "", meaning)
            yield from _below(below, f"{path}.{LABEL}." if below is Sampler else f"{path}.")


def _section(annotation: Any) -> type[Strict] | None:
    """The section that a key holds: itself, or None, or one for each label."""
    kinds = [annotation, *get_args(annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Strict)), None)


@cache
def _meanings(section: type[BaseModel]) -> dict[str, str]:
    """The words of a section's docstring on each of its keys, "`key`: words." Keys that are explained together share them."""
    lines = re.sub(r"(?<!\n)\n *(?![\n-])", " ", inspect.getdoc(section) or "").splitlines()  # a bullet a line
    meanings = {}
    for line in lines:
        _, *items = re.split(r"(?:^- |(?<=\. ))((?:`\w+`(?:, )?)+): ", line)
        for names, words in zip(items[::2], items[1::2], strict=True):
            meanings |= dict.fromkeys(re.findall(r"\w+", names), words.strip().rstrip("."))
    return meanings


def _with_names(meaning: str, section: type[BaseModel], name: str) -> str:
    """The meaning, and for a part of the library the names that there are."""
    kinds = OF_SECTIONS.get(section, {})
    return f"{meaning}: {', '.join(kinds[name].names)}, or my_pkg.my_module:Name" if name in kinds else meaning


def _type(schema: dict[str, Any]) -> str:
    """The type in words, from JSON schema."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        return "name, or {name, options}" if schema["$ref"] in PART_NAMES else "section"
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    words = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None", "array": "tuple"}
    return words.get(schema.get("type", ""), "dict" if schema.get("type") == "object" else "int, str or None")


def _range(schema: dict[str, Any]) -> str:
    """The range of a number as an interval; nothing if it has none."""
    schema = next((each for each in schema.get("anyOf", [schema]) if "minimum" in each or "exclusiveMinimum" in each), {})
    if not schema:
        return ""
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    left, right = "[" if "minimum" in schema else "(", "]" if "maximum" in schema else ")"
    return f"{left}{_value(low)}, {'inf' if high is None else _value(high)}{right if high is not None else ')'}"


def _value(value: Any) -> str:
    """A value as an override writes it."""
    if isinstance(value, Named):
        return value.name
    if isinstance(value, int) and not isinstance(value, bool) and value == 2**31:
        return "2^31"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'
