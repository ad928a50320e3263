"""From a config file and `--config.a.b=value` to a frozen `Config`, or to every problem at once."""

from __future__ import annotations

import ast
import copy
import difflib
import json
import re
import runpy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from experiments.errors import ConfigError
from experiments.schema import Config, Edit, Named, Sampler

Variants = Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]

GONE = object()
LONGEST = 2**20
"""The most bytes of a config that is JSON: a longer one is not parsed."""
DEEPEST = 20
"""The most tables within tables of one."""
_CADENCE = ("train.log_every", "train.sample_every", "train.checkpoint_every")
FREE = ("title", "train.steps", *_CADENCE, "train.keep", "train.bad_steps", "train.shard", "lora.run", "lora.scale")
FREE_SECTIONS = ("samplers.", "sample.", "evaluate.", "interpolate.", "edit.", "data.data_dir", "data.resident_mib")
"""Keys that a run in progress may change; the others made it what it is."""


def _parts(section: type[BaseModel]) -> str:
    """A regular expression for the keys of a section that name parts of the library."""
    return "|".join(
        key for key, field in section.model_fields.items() if Named in (field.annotation, *get_args(field.annotation))
    )


CODE = rf"(arms\..+\.)?(parameterization|{_parts(Config)}|samplers\..+\.({_parts(Sampler)})|edit\.({_parts(Edit)}))(\.name)?"
"""The keys whose values name what is called."""
WRITTEN = "evaluate.statistics"
"""The key of a folder that is written to."""
MOST_NEAREST = 20
"""Of how many wrong keys the nearest valid one is looked for."""


def read(path: str, overrides: list[str], variants: Variants = MappingProxyType({})) -> dict[str, Any]:
    """The tree of `get_config()` in the file, or of a run's config.json, with the overrides laid over it; `problems` judges it.

    `path` may end in one of `variants`, as file.py:tiny, a function of the tree.
    """
    stem, colon, variant = path.rpartition(":")
    if Path(path).is_file() or not colon or "/" in variant:  # a folder's name may have a colon
        stem, variant = path, ""
    path = stem
    if variant and variant not in variants:
        raise ConfigError(f"{path}:{variant}: no such variant{nearest(variant, [*variants])}")
    file = Path(path)
    if not file.is_file():
        others = sorted(str(p) for p in Path("configs").rglob("*.py"))
        raise ConfigError(f"no config file {path}{nearest(path, others)}")
    if file.suffix == ".json":
        tree = trusted(overridden(stored(file), overrides), overrides, path)
        return overridden(variants[variant](tree), overrides) if variant and not problems(tree) else tree
    try:
        tree = _own(runpy.run_path(path)["get_config"]().to_dict())
    except (KeyError, AttributeError) as error:
        raise ConfigError(f"{path} must define get_config(), which returns an ml_collections.ConfigDict ({error})") from error
    except Exception as error:  # it is the user's code
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}") from error
    try:
        return overridden(variants[variant](tree) if variant else tree, overrides)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # of a tree that the schema would refuse
        wrong = problems(tree) or [f"{path}:{variant}: {type(error).__name__}: {error}"]
        raise ConfigError(wrong) from error


def _own(tree: Any) -> Any:
    """The tree with each section its own: what a file puts in two places is one object, and an override would change both."""
    return {key: _own(below) for key, below in tree.items()} if isinstance(tree, dict) else tree


def kept(tree: dict[str, Any], overrides: list[str], origin: str) -> dict[str, Any]:
    """The `trusted` tree of weights that there are; ConfigError where the overrides say what made them otherwise."""
    after = trusted(overridden(copy.deepcopy(tree), overrides), overrides, origin)
    if lines := changed(tree, after):
        raise ConfigError([f"{origin} was trained by its config, of which these keys stay as they are:", *lines[:4]])
    return after


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The keys that made a run what it is and are not the same, one line each."""
    then, now = flat(before), flat(after)
    return [
        f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and key not in FREE and not key.startswith(FREE_SECTIONS)
    ]


def stored(file: Path) -> dict[str, Any]:
    """The tree of a config.json. ConfigError where it is none."""
    try:
        if not file.is_file():
            raise OSError("it is no file")
        with file.open("rb") as content:
            text = content.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} bytes")
        return from_json(json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is no config as JSON: {' '.join(str(error).split())}") from error


def from_json(tree: Any) -> dict[str, Any]:
    """The tree of a config that was written as JSON, where a tuple is a list.

    TypeError if it is no table, ValueError if it is one within very many.
    """
    if not isinstance(tree, dict):
        raise TypeError("it holds no table of keys")

    def plain(value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError(f"it holds tables within tables, more than {DEEPEST} deep")
        if isinstance(value, dict):
            return {key: plain(below, depth + 1) for key, below in value.items()}
        return tuple(plain(below, depth + 1) for below in value) if isinstance(value, list) else value

    return plain(tree)


def trusted(tree: dict[str, Any], overrides: list[str], origin: str) -> dict[str, Any]:
    """The tree of a file that is data, if it names no code but OneSDE's and no folder to write to, or the overrides do so too.

    Else ConfigError.
    """
    told = {override.partition("=")[2] for override in overrides}

    def reaches_out(key: str, value: str) -> bool:
        # A key too long for a search that goes back over it is nobody's.
        called = ":" in value and (len(key) > 1000 or re.fullmatch(CODE, key, re.DOTALL))
        return bool(called or (key == WRITTEN and value))

    found = {key: value for key, value in flat(tree).items() if isinstance(value, str) and reaches_out(key, value)}
    foreign = {key: value for key, value in found.items() if value not in told}
    if foreign:
        does = "a folder, which would be written to" if WRITTEN in foreign else "code that is not OneSDE's, which would run"
        raise ConfigError(
            [
                f"{origin} names {does}; if you trust it, name it yourself:",
                *[f"--config.{key}={value}"[:300] for key, value in foreign.items()][:3],
                *([f"and {len(foreign) - 3} more"] if len(foreign) > 3 else []),
            ]
        )
    return tree


def overridden(tree: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The tree, changed, under each --config.a.b=value."""
    problems = []
    for override in overrides:
        key, equals, text = override.removeprefix("--config.").partition("=")
        if not override.startswith("--config.") or not equals:
            problems.append(f"{_cut(override)}: write an override as --config.key=value")
            continue
        *parents, leaf = key.split(".")
        if not all((*parents, leaf)):
            problems.append(f"{_cut(override)}: a key is names with a dot between them, as in --config.train.steps=100")
            continue
        node = tree
        for parent in parents:
            below = node.get(parent)
            node[parent] = {} if below is None else {"name": below} if isinstance(below, str) else below
            node = node[parent]
            if not isinstance(node, dict):
                problems.append(f"{_cut(override)}: config.{parent} = {shown(node)} has no keys below it")
                break
        else:
            node[leaf] = _value(text)
    if problems:
        raise ConfigError(problems)
    return tree


def _value(text: str) -> Any:
    """A Python literal, or else the text itself: 2e-4, (1, 2), True, None, VPSDE."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def shown(value: Any) -> str:
    """A value as a config writes it, as much of it as a line holds."""
    try:
        return _cut(repr(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"a {type(value).__name__} too long to write"


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 20]}... ({len(text)} characters)"


def problems(tree: dict[str, Any]) -> list[str]:
    """What the schema says against the tree, one line each with the nearest valid choice; nothing if it is a `Config`."""
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        return list(described(error))
    return []


def arms(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tree of each arm: the base under the arm's overrides. A section that gives a `name` replaces the base's."""
    base = {key: value for key, value in tree.items() if key != "arms"}
    changed = tree.get("arms")
    if not isinstance(changed, dict):  # none, or the schema's to refuse
        return {}
    return {name: _overlay(base, changes if isinstance(changes, dict) else {}) for name, changes in changed.items()}


def unlike(tree: dict[str, Any]) -> list[str]:
    """What arms may not change, for their results stand in one table: how they are measured, and on what."""
    own, arms, base = ("data.range", "data.flip"), tree.get("arms"), flat(tree)
    nested = [
        f"arms.{name}.arms: an arm has none of its own"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())
        if isinstance(changes, dict) and "arms" in changes
    ]
    return nested + [
        f"arms.{name}: {key} is of all arms, or their results would not compare; set it beside arms"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())  # or the schema's to refuse
        if isinstance(changes, dict)
        for key, value in flat(changes).items()
        if key.startswith(("evaluate.", "data.")) and key not in own and base.get(key, GONE) != value
    ]


def _overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and "name" not in value:
            merged[key] = _overlay(below, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree of tables by their dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, below in tree.items() for k, v in flat(below, f"{prefix}.{key}" if prefix else str(key)).items()}


def described(error: ValidationError, kind: type[BaseModel] = Config) -> Iterator[str]:
    """What pydantic says against a `kind`, one line each with the nearest valid key."""
    for i, problem in enumerate(error.errors(include_url=False, include_context=False)):
        *parents, leaf = problem["loc"] or ("",)  # of the whole
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = nearest(str(leaf), _fields(kind, parents)) if i < MOST_NEAREST else ""
            yield f"unknown config key {_cut(key)}{close}"
        elif problem["type"] == "missing":
            yield f"config key {key} is missing"
        else:
            wanted = problem["msg"].partition(" or instance of ")[0]
            yield f"{_cut(key)} = {shown(problem['input'])}: {wanted[0].lower()}{wanted[1:]}"


def _fields(section: type[BaseModel], parents: list[Any]) -> list[str]:
    """The keys of the section that `parents` lead to."""
    for part in parents:
        if part in section.model_fields:  # else a key of a dictionary, such as a sampler's label
            annotation = section.model_fields[part].annotation
            section = next(a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel))
    return list(section.model_fields)


def nearest(wrong: str, valid: list[str]) -> str:
    """The end of a message about a wrong name: the closest valid one, or what there is, as much as a line holds."""
    if close := difflib.get_close_matches(wrong[:80], valid, n=1):
        return f" (did you mean {close[0]}?)"
    more = f" and {len(valid) - 20} more" if len(valid) > 20 else ""
    return f" (there are {', '.join(valid[:20])}{more})" if valid else ""
