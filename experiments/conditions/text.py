"""Texts of an example, and the numbers of their characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Array, Float, Int

CHARACTERS = 256
"""The number of characters: the bytes of UTF-8, so that no vocabulary is kept beside a network. 0 is no character."""
NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def captions(
    label: Int[Array, ""],
    names: Sequence[str],
    template: str = "a handwritten {}",
    length: Annotated[int, Ge(1), Le(4096)] = 32,
) -> Int[Array, " length"]:
    """Returns the caption of the example's class, as the numbers of its `length` characters: 3 is "a handwritten three".

    `template`: the caption, with {} for the name of the class; names that are numerals up to ten are spelled. Raises ValueError
    if the classes have no names, or if a caption is longer than `length`.
    """
    if not names:
        raise ValueError("captions are made of the names of classes, and the labels of the data have none")
    return jnp.asarray(np.stack([characters(caption(name, template), length) for name in names]))[label]


def token_ids(length: Annotated[int, Ge(1), Le(4096)] = 77) -> Int[Array, " length"]:
    """Returns no text, `length` zeros: a text comes from Python, by the ids of its tokens in the network's vocabulary."""
    return jnp.zeros(length, int)


def token_states(
    length: Annotated[int, Ge(1), Le(4096)] = 77, width: Annotated[int, Ge(1), Le(2**16)] = 768
) -> Float[Array, "length width"]:
    """Returns no text, zeros [length, width]: one comes from Python, as the states of a text encoder outside of the network."""
    return jnp.zeros((length, width))


def caption(name: str, template: str) -> str:
    """Returns the caption of the class of that name."""
    spelled = NUMERALS[int(name)] if name.isdecimal() and int(name) < len(NUMERALS) else name
    return template.replace("{}", spelled)


def characters(text: str, length: int) -> Int[np.ndarray, " length"]:
    """Returns the bytes of the text, and zeros after them. Raises ValueError if it is longer than `length`."""
    numbers = text.encode()
    if len(numbers) > length:
        raise ValueError(f"{text[:60]!r} has {len(numbers)} bytes, and there is room for length = {length}")
    return np.pad(np.frombuffer(numbers, np.uint8), (0, length - len(numbers))).astype(np.int32)


def text_of(numbers: Int[np.ndarray, " length"]) -> str:
    """Returns the text of these characters: the inverse of `characters`."""
    return bytes(int(n) for n in numbers if n).decode(errors="replace")
