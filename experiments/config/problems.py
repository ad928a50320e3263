"""Problems of a config's tree: all that the schema refuses, and all that is wrong with the parts that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from pydantic import ValidationError

from experiments.config.arms import resolve_arms
from experiments.config.messages import problem_lines
from experiments.config.parts import (
    CODEC,
    CONDITIONING,
    CONDITIONS,
    DECODER,
    DISCRIMINATOR,
    EDIT,
    ENCODER,
    GRID,
    GUIDANCE,
    LADDER,
    LEARNING_RATE,
    LIKELIHOOD,
    NET,
    OBJECTIVE,
    OPTIMIZER,
    PARAMETERIZATION,
    SDE,
    STEP,
    TIMES,
    WEIGHT,
    Kind,
    schedule_of,
)
from experiments.config.schema import Condition, Config, LearnedSDE, Named, Train
from experiments.runtime.errors import ConfigError, UserError, blamed, users_line

PARTS = {
    "sde": SDE,
    "net": NET,
    "parameterization": PARAMETERIZATION,
    "conditioning": CONDITIONING,
    "objective": OBJECTIVE,
    "weight": WEIGHT,
    "times": TIMES,
}
TRAIN_PARTS = {"optimizer": OPTIMIZER, "schedule": LEARNING_RATE}
SAMPLER_PARTS = {"sde": SDE, "step": STEP, "corrector": STEP, "grid": GRID, "guidance": GUIDANCE}
EDIT_PARTS = {"by": EDIT}
OF_CODECS = {"encoder": ENCODER, "decoder": DECODER, "net": LADDER, "likelihood": LIKELIHOOD}
"""The parts that a codec may be made of, by their keys."""
CODEC_PARTS = {"by": CODEC} | OF_CODECS
ADVERSARIAL_PARTS = {"net": DISCRIMINATOR}
Problems = list[str]


def attempt(problems: Problems, where: str, make: Callable[[], Any]) -> Any:
    """Returns `make()`. If it raises an error that a config can cause, adds that to the problems and returns None.

    Such are errors of wrong values, and whatever a user's own code raises, with its line; but not those of the machine.
    """
    try:
        return make()
    except ConfigError as error:
        problems.extend(f"{where}: {line}" for line in str(error).splitlines())
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        if users_line(error) or isinstance(error, (ArithmeticError, LookupError, AttributeError)):
            problems.append(f"{where}: {blamed(error)}")
        elif isinstance(error, (TypeError, ValueError)):  # whose words are for the user
            problems.append(f"{where}: {' '.join(str(error).split())}"[:400])
        else:
            raise


def parse(tree: dict[str, Any]) -> tuple[Config | None, Problems]:
    """Returns the tree as a Config, and its problems. The Config is None if the schema refuses the tree."""
    try:
        return Config.model_validate(tree), part_problems(tree)
    except ValidationError as error:
        return None, [*problem_lines(error), *part_problems(tree)]


def every_problem(tree: dict[str, Any]) -> Problems:
    """Returns the problems of a tree and of each of its arms."""
    return [line for each in (tree, *resolve_arms(tree).values()) for line in parse(each)[1]]


def part_problems(tree: dict[str, Any]) -> Problems:
    """Returns the problems of the parts that a tree names: unknown names, and options that do not fit a signature."""
    problems: Problems = []

    def part(kind: Kind, where: str, section: Any, of: type[Named] = Named) -> None:
        try:
            named = of.model_validate(section)
        except ValidationError:  # the schema refuses it
            return
        attempt(problems, where, lambda: kind.check(named))

    for key, kind in PARTS.items():
        if tree.get(key) is not None:
            part(kind, key, tree[key], LearnedSDE if key == "sde" else Named)
    conditions = tree.get("conditions")
    for key, section in conditions.items() if isinstance(conditions, dict) else ():
        if key in CONDITIONS and section is not None:
            part(CONDITIONS[key], f"conditions.{key}", section, Condition)
    train = tree.get("train")
    if isinstance(train, dict) and train.get("optimizer") is not None:
        part(OPTIMIZER, "train.optimizer", train["optimizer"])
    if isinstance(train, dict) and train.get("schedule") is not None:
        attempt(problems, "train.schedule", lambda: _check_schedule(train))
    labelled = tree.get("samplers")
    for label, sampler in labelled.items() if isinstance(labelled, dict) else ():
        for key, kind in SAMPLER_PARTS.items() if isinstance(sampler, dict) else ():
            if sampler.get(key) is not None:
                part(kind, f"samplers.{label}.{key}", sampler[key])
    sections = {"edit": (tree.get("edit"), EDIT_PARTS), "codec": (codec := tree.get("codec"), CODEC_PARTS)}
    if isinstance(codec, dict):
        sections["codec.adversarial"] = codec.get("adversarial"), ADVERSARIAL_PARTS
    for key, (section, kinds) in sections.items():
        named = section if isinstance(section, dict) else {}
        for leaf, kind in kinds.items():
            if named.get(leaf) is not None:
                part(kind, f"{key}.{leaf}", named[leaf])
    return problems


def _check_schedule(section: dict[str, Any]) -> None:
    """Checks the schedule of a section of training, whose other keys fill the options that it leaves out."""
    try:
        schedule = schedule_of(Train.model_validate(section))
    except ValidationError:  # the schema refuses it
        return
    if schedule is not None:
        LEARNING_RATE.check(schedule)
