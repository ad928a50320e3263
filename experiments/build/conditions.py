"""The conditions that a config names, as functions of an example, and what they ask of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import models
from experiments.conditions.text import CHARACTERS, captions
from experiments.config import schema
from experiments.config.options import parameters
from experiments.config.parts import CONDITIONS, EXAMPLE, NET, autoencodes, classifies
from experiments.config.problems import Problems
from experiments.config.schema import Config

TEXT_CHANNELS = 128
"""The channels of the vectors that a text is read into, unless net.tokens says how many."""
FOLD = 2**16
"""The fold of an example's or a sample's key for its first condition: more than it is split into for anything else."""


class Condition(NamedTuple):
    """A condition of an example, of(params, key, x, label) -> array. It uses those of the last three that `needs` names.

    `params`: the network's own, for its encoder. `key`: the example's own, of which each condition has its fold. `dropout`: the
    share of training examples that are without.
    """

    of: Callable[[Any, Any, Any, Any], jax.Array]
    needs: frozenset[str]
    dropout: float


def conditions(config: Config, names: Sequence[str]) -> dict[str, Condition]:
    """Returns the conditions that the config names, by kind; `names`: those of the classes."""
    encode = encoder(config)
    return {
        kind: _code(encode, part) if encode and kind == "vector" else _condition(i, registry.find(part.name), part, names)
        for i, (kind, registry) in enumerate(CONDITIONS.items())
        if (part := getattr(config.conditions, kind)) is not None
    }


def _condition(i: int, function: Callable[..., Any], part: schema.Condition, names: Sequence[str]) -> Condition:
    """The i-th kind of condition, by this function."""
    needs = frozenset(parameters(function).keys() & EXAMPLE.keys())

    def of(params: Any, key: Any, x: Any, label: Any) -> jax.Array:
        example = {"key": jax.random.fold_in(key, FOLD + i), "x": x, "label": label, "names": names}
        return jnp.asarray(function(**{name: example[name] for name in needs}, **part.options))

    return Condition(of, needs, part.dropout)


def _code(encode: models.Plain, part: schema.Condition) -> Condition:
    """The code of an example, by the network's own encoder."""
    return Condition(lambda params, key, x, label: encode.apply(params["encoder"], x), frozenset({"x"}), part.dropout)


def encoder(config: Config) -> models.Plain | None:
    """Returns the encoder that is trained with the score, if the config names one."""
    part = config.conditions.vector
    # `Condition` is frozen, hence hashable, though pyright cannot see it.
    return _encoder(part, config.compute) if part and autoencodes(config) else None  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=8)
def _encoder(part: schema.Condition, compute: str) -> models.Plain:
    """The encoder as functions, by which JAX caches traces."""
    net = models.functional(partial(CONDITIONS["vector"].find(part.name), **part.options), compute)
    return models.plain(models.traced_once(net))


def is_captions(config: Config) -> bool:
    """Returns whether the network hears `captions`."""
    tokens = config.conditions.tokens
    return tokens is not None and CONDITIONS["tokens"].find(tokens.name) is captions


def classes(config: Config, names: Sequence[str]) -> int:
    """Returns the number of classes that the network learns from, by number or in captions; 0 if it learns from none."""
    captioned = any("label" in condition.needs for condition in conditions(config, names).values())
    return config.net.options.get("classes", 0) or (len(names) if captioned else 0)


def shapes(config: Config, shape: tuple[int, ...], names: Sequence[str]) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shape of each condition of an event of `shape`, by kind."""
    key, x, label = jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)
    encode = encoder(config)
    params = {"encoder": jax.eval_shape(encode.init, key, x)} if encode else {}
    return {kind: jax.eval_shape(each.of, params, key, x, label) for kind, each in conditions(config, names).items()}


def network_options(config: Config, shape: tuple[int, ...], names: Sequence[str]) -> dict[str, int]:
    """Returns the options that the network has by its conditions of events of `shape`: how many numbers they are of.

    Raises ValueError for a condition of another shape than its kind, and for options of the config that do not fit.
    """
    kinds = shapes(config, shape, names)
    vector, image, tokens = (kinds.get(kind) for kind in CONDITIONS)
    if vector is not None and vector.ndim != 1:
        raise ValueError(f"vector is of shape {vector.shape}, and must be [D]")
    if image is not None and (image.shape[:-1] != shape[:-1] or len(shape) < 2):
        raise ValueError(f"image is of shape {image.shape}, and must have the sides of the event, {shape}")
    of_tokens = {} if tokens is None else _options_of_tokens(tokens, config.net.options)
    return {kind: like.shape[-1] for kind, like in kinds.items() if kind != "tokens"} | of_tokens


def _options_of_tokens(tokens: jax.ShapeDtypeStruct, net: dict[str, Any]) -> dict[str, int]:
    """The network's `tokens` and `vocabulary`: of a text those of its options, if it has some, or `TEXT_CHANNELS` and bytes."""
    channels, vocabulary = net.get("tokens", 0), net.get("vocabulary", 0)
    if tokens.ndim == 1 and jnp.issubdtype(tokens.dtype, jnp.integer):
        return {"tokens": channels or TEXT_CHANNELS, "vocabulary": vocabulary or CHARACTERS}
    if tokens.ndim != 2:
        raise ValueError(f"tokens are {tokens.dtype} of shape {tokens.shape}, and must be integers [L] or vectors [L, d]")
    d = tokens.shape[1]
    if channels not in (0, d) or vocabulary:
        raise ValueError(f"tokens are vectors of {d} numbers: leave out net.tokens = {channels}, net.vocabulary = {vocabulary}")
    return {"tokens": d}


def condition_problems(config: Config, names: Sequence[str]) -> Problems:
    """Returns the problems of conditions that the network does not take, and of a network that waits for some."""
    problems = _encoder_problems(config)
    labels, vocabulary = (config.net.options.get(key, 0) for key in ("classes", "vocabulary"))
    for kind, condition in conditions(config, names).items():
        if "names" in condition.needs and not names:
            problems.append(f"conditions.{kind} is made of the names of classes, and those of the data have none")
        elif "names" in condition.needs and labels not in (0, len(names)):
            problems.append(f"net.classes = {labels}, and conditions.{kind} is made of {len(names)} names; take {len(names)}")
        elif "label" in condition.needs and not classes(config, names):
            problems.append(f"conditions.{kind} is made of labels, whose number is unknown; set net.classes")
    for kind in CONDITIONS:
        part, name = getattr(config.conditions, kind), config.net.name
        if part is not None and classifies(config):
            problems.append(f"conditions.{kind} = {part.name}: a classifier hears nothing beside the noise level; take None")
        elif part is not None and not NET.takes(name, kind):
            others = ", ".join(each for each in NET.names if NET.takes(each, kind))
            problems.append(f"conditions.{kind} = {part.name}: {name} takes no {kind}; take {others}")
    if is_captions(config) and 0 < vocabulary < CHARACTERS:
        problems.append(f"net.vocabulary = {vocabulary}: captions are of {CHARACTERS} bytes; leave it out")
    waits = {key: config.net.options.get(key) for key in ("tokens", "vocabulary")}
    if config.conditions.tokens is None and any(waits.values()):
        key, value = next((key, value) for key, value in waits.items() if value)
        problems.append(f"net.{key} = {value} is of conditions.tokens, and there are none; take conditions.tokens = captions")
    return problems


def _encoder_problems(config: Config) -> Problems:
    """Problems of an encoder that is trained with the score."""
    part = config.conditions.vector
    if part is None or not autoencodes(config):
        return []
    problems, what = [], f"conditions.vector = {part.name}"
    if n := config.evaluate.likelihood:
        problems.append(f"evaluate.likelihood = {n}: {what} is a code of x, and p(x | its code) is no p(x); take 0")
    if config.lora:
        problems.append(f"lora adapts a network that is trained, and {what} is trained with the score; take lora = None")
    return problems
