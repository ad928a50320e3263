"""data check decodes every example once, and names each that cannot be used."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.config.classes import class_name, numbered
from experiments.config.schema import Data
from experiments.data.decoded import in_order
from experiments.data.examples import Bad, event_in, is_class
from experiments.data.framing import Frame
from experiments.data.image_file import kind
from experiments.data.moments import NOTHING, Moments, Spread, require_spread
from experiments.data.reader import Reader
from experiments.data.sources import Sources
from experiments.runtime.errors import DataError, StorageError, printable
from experiments.runtime.files import write_text
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import stop


class Facts(NamedTuple):
    """The facts of an example that the check compares: `pixels` is a hash of the event; `flat`: it has one value throughout."""

    name: str
    shape: tuple[int, ...]
    kind: str
    pixels: bytes
    label: Any
    flat: bool

    @property
    def classed(self) -> bool:
        """The example has a class."""
        return is_class(self.label)


class Report(NamedTuple):
    """The readable examples by split, by shape and by kind of file; those that cannot be used; warnings about the others."""

    train: int
    test: int
    shapes: Counter[tuple[int, ...]]
    kinds: Counter[str]
    bad: list[Bad]
    warnings: list[str]


def check(sources: Sources, config: Data, listing: Path | None = None) -> Report:
    """Decodes all examples and prints what there is. DataError if one cannot be used; `listing` then names all of these."""
    if frame := Frame.of(config):
        say(f"images: {frame.words}")
    facts: list[list[Facts]] = []
    bad: list[Bad] = []
    moments: list[Moments] = []
    for source, split in ((sources.train, config.train), (sources.test, config.test)):
        origin, good, spread = config.origin(split), [], NOTHING
        reader = Reader(source, config.levels, origin, frame)
        look = partial(_look, source, origin, reader)
        with progress(f"data check: {printable(split)}", len(source)) as show:
            for i, one in enumerate(in_order(look, range(len(source)), origin)):
                if isinstance(one, Bad):
                    bad.append(one)
                else:
                    looks, numbers = one
                    good.append(looks)
                    if numbers and looks.shape == good[0].shape:
                        spread = spread.union(numbers)
                show(i + 1, f"{len(bad)} bad")
                stop.check()
        say(f"{printable(origin)}: {len(good)} readable examples{_classes(good)}")
        if enlarged := reader.enlarged(range(len(source))):
            say(enlarged)
        if spread.n:
            moments.append(spread.moments)
            say(f"{printable(origin)}: {spread.moments.words}")
        facts.append(good)
    train, test = facts
    shapes, kinds = (Counter(getattr(one, what) for one in train + test) for what in ("shape", "kind"))
    say("shapes: " + ", ".join(f"{shape} {n}" for shape, n in shapes.most_common(5)))
    say("kinds: " + ", ".join(f"{name} {n}" for name, n in kinds.most_common(8)))
    most = max(shapes, key=lambda shape: shapes[shape], default=())
    bad += [Bad(one.name, f"its shape is {one.shape}, most have {most}") for one in train + test if one.shape != most]
    warnings = _repeated(train, test, config.levels)
    warnings += _unclassed(train, printable(config.train)) + _unclassed(test, printable(config.test))
    warnings += _uncovered(train, test, sources.classes) + _unscaled(moments[:1], config)
    for warning in warnings:
        say(f"warning: {warning}")
    if sources.classes:
        say(f"labels: {printable(numbered(sources.classes))}")
    total = len(sources.train) + len(sources.test)
    if bad:
        raise DataError(_complaint(bad, total, listing))
    if moments:
        require_spread(moments[0], config)
    say(f"data check: all {total} examples can be used")
    return Report(len(train), len(test), shapes, kinds, bad, warnings)


def _look(source: Any, origin: str, reader: Reader, i: int) -> tuple[Facts, Spread | None] | Bad:
    """The facts of an example, and of floats the spread of its numbers."""
    decoded = reader.event(i)
    if isinstance(decoded, Bad):
        return decoded
    event, label = decoded
    image = event_in(source[i]) if isinstance(source, list) else None  # any other source would decode again
    file = image if isinstance(image, Path) else None
    facts = Facts(
        printable(file) if file else f"example {i} of {origin}",
        event.shape,
        kind(file) if file else str(event.dtype),
        blake2b(repr(event.shape).encode() + event.tobytes(), digest_size=16).digest(),
        label,
        bool((event == event.flat[0]).all()),
    )
    return facts, None if event.dtype == np.uint8 else Spread.of(event[None])


def _classes(facts: list[Facts]) -> str:
    counts = Counter(int(one.label) for one in facts if one.classed).values()
    return f", {len(counts)} classes of {min(counts)} to {max(counts)}" if counts else ""


def _repeated(train: list[Facts], test: list[Facts], levels: int) -> list[str]:
    """Warns of examples that occur twice: in both splits, in training, in two classes; and of those of one number."""
    first = {one.pixels: one for one in reversed(train)}
    leaked = [(one, first[one.pixels]) for one in test if one.pixels in first]
    twice = [(one, first[one.pixels]) for one in train if first[one.pixels] is not one]
    astray = [(a, b) for a, b in twice + leaked if a.classed and b.classed and a.label != b.label]
    flat = [(one, one) for one in train + test if one.flat and len(one.shape) > 1]
    groups = [
        (leaked, f"of {len(test)} held-out examples are in training too"),
        (twice, "training examples repeat an earlier one"),
        (astray, "of the repeated ones have another class than the first"),
        (flat, "images are of one colour throughout" if levels else "examples are one number throughout"),
    ]
    return [f"{len(pairs)} {words}: {_named(pairs)}" for pairs, words in groups if pairs]


def _unclassed(facts: list[Facts], split: str) -> list[str]:
    """Warns of labels of a split that do not count."""
    without, lines = [one for one in facts if not one.classed], []
    if without and any(one.label is not None for one in facts):
        lines = [f"{len(without)} examples of {split} have no class ({without[0].name}), so all go without"]
    if negative := [one for one in facts if one.classed and one.label < 0]:
        lines.append(f"{len(negative)} examples of {split} have a negative class ({negative[0].name})")
    return lines


def _uncovered(train: list[Facts], test: list[Facts], names: Sequence[str]) -> list[str]:
    """Warns of classes that training lacks, by their names."""
    called = lambda ys: printable(", ".join(class_name(y, names) for y in sorted(ys)[:5]))
    trained, held_out = ({int(one.label) for one in split if one.classed} for split in (train, test))
    if not trained:
        return []
    lines = []
    if new := held_out - trained:
        lines.append(f"classes {called(new)} are held out, and none is in training")
    if absent := set(range(min(max(trained), 10**5))) - trained:
        lines.append(f"classes {called(absent)} of 0 to {max(trained)} have no training example")
    return lines


def _unscaled(moments: list[Moments], config: Data) -> list[str]:
    """Warns of floats that are far from the scale of the noise."""
    if config.standardise != "none":
        return []
    pairs = (pair for each in moments for pair in zip(*each, strict=True))
    far = [abs(mean) > 3 or not 0.1 <= std <= 10 for mean, std in pairs]
    remedy = "data.standardise = 'channel' makes them 0 and 1, near which SDEs and networks expect them"
    return [f"{sum(far)} of {len(far)} channels are far from mean 0 and std 1: {remedy}"] if any(far) else []


def _named(pairs: list[tuple[Facts, Facts]]) -> str:
    names = [one.name if one is other else f"{one.name} = {other.name}" for one, other in pairs[:2]]
    return ", ".join(names) + (", ..." if len(pairs) > 2 else "")


def _complaint(bad: list[Bad], total: int, listing: Path | None) -> list[str]:
    """Returns at most five lines: the commonest reasons with a name each, and the file with all names."""
    groups: dict[str, list[Bad]] = defaultdict(list)
    for one in bad:
        groups[re.sub(r"\d+", "#", one.why)].append(one)
    commonest = sorted(groups.values(), key=len, reverse=True)
    if listing:
        lines = []
        for group in commonest:
            lines += [f"{len(group)} of {total}: {group[0].why}", *(f"  {one}" for one in group), ""]
        try:
            listing.parent.mkdir(parents=True, exist_ok=True)
            write_text(listing, "\n".join(lines))
        except OSError as error:
            raise StorageError(f"{len(bad)} bad examples cannot be listed in {listing}: {error.strerror}") from error
    reasons = [f"{len(group)} times: {group[0]}" if len(group) > 1 else str(group[0]) for group in commonest[:3]]
    rest = f", {len(commonest) - 3} more reasons" if len(commonest) > 3 else ""
    where = f"all by name in {listing}{rest}" if listing else f"mend or remove them{rest}"
    return [f"{len(bad)} of {total} examples cannot be used:", *reasons, where]
