"""Classes by their numbers, which networks know, and by their names, which people do."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.config.messages import in_words, suggestion
from experiments.runtime.errors import printable


def class_name(y: int, names: Sequence[str]) -> str:
    """Returns the name of class `y`: its number, if it has no other."""
    return names[y] if y < len(names) else str(y)


def class_number(label: int | str, classes: int, names: Sequence[str] = ()) -> int:
    """Returns the number, below `classes`, of the class that is called `label`.

    Names that are numbers count as numbers: of the classes 2, 4 and 10, the label 10 is the last. An integer is the number
    itself only if no name is one. Invisible letters may be written as they are, or as they are printed. Raises ValueError with
    the nearest name if there is no such class.
    """
    word, names = printable(label), [*map(printable, names[:classes])]
    if word in names:
        return names.index(word)
    numerals = {int(name): y for y, name in enumerate(names) if name.isdecimal()}
    number = int(word) if word.isdecimal() else -1
    if number in numerals:
        return numerals[number]
    if (len(names) if numerals else 0) <= number < classes:
        return number
    valid = [class_name(y, names) for y in range(min(classes, 10_000))]
    raise ValueError(f"there is no class {in_words(label)}{suggestion('' if number >= 0 else word, valid)}")


def class_numbers(labels: Sequence[int | str], names: Sequence[str]) -> tuple[int, ...]:
    """Returns the numbers of the classes that are called `labels`; of classes without names, integers are the numbers.

    Raises ValueError if there is no such name.
    """
    return tuple(y if not names and isinstance(y, int) else class_number(y, len(names), names) for y in labels)


def numbered(names: Sequence[str]) -> str:
    """Returns which number is which class, in words."""
    return ", ".join(f"{y} is {name}" for y, name in enumerate(names))
