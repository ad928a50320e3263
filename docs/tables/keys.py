"""The table of config keys."""

from experiments.config.keys import keys


def all_keys() -> str:
    """Returns a row for each key."""
    cell = lambda text: text.replace("|", r"\|")
    rows = (f"| `{key.path}` | {cell(key.type)} | {key.default} | {key.range} | {cell(key.meaning)} |" for key in keys())
    return "\n".join(["| key | type | default | range | meaning |", "|---|---|---|---|---|", *rows])
