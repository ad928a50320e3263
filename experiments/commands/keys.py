"""keys: print what a config can say, from the schema: each key with its type, its default, its range and its meaning."""

from __future__ import annotations

import argparse

from experiments.commands.arguments import Call
from experiments.config.keys import Key, keys
from experiments.config.messages import in_words, suggestion
from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Adds PREFIX, a key or a section."""
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="a key or a section, as train; all by default")


HELP = "print every config key with its type, default, range and meaning"
ARGUMENTS = (add_prefix,)
OVERRIDES = False


def run(call: Call) -> None:
    """Prints the keys at and below the prefix. Raises ConfigError with the nearest key if there is none."""
    prefix = call.options.prefix.removeprefix("--config.").removeprefix("config.")
    if not (chosen := keys(prefix)):
        raise ConfigError(f"no key {in_words(prefix)}{suggestion(prefix, [key.path for key in keys()])}")
    say("\n".join(map(_described, chosen)))


def _described(key: Key) -> str:
    """The key in a line, and its meaning in another."""
    default = f"default {key.default}" if key.default not in ("", "required") else key.default
    return f"{key.path}: {', '.join(word for word in (key.type, key.range, default) if word)}\n    {key.meaning}"
