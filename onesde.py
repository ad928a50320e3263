"""OneSDE by one name: `from onesde import losses, models, samplers, sde_lib`, and the command `onesde`.

A folder models/ or a file losses.py beside the user comes before ours on Python's path, unless ours are imported by this.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import configs
    import experiments
    import losses
    import models
    import samplers
    import sde_lib

__all__ = ["configs", "experiments", "losses", "models", "samplers", "sde_lib"]
HERE = Path(__file__).resolve().parent


def __getattr__(name: str) -> ModuleType:
    """Returns our package of that name. Raises ImportError if another module has taken the name before."""
    if name not in __all__:
        raise AttributeError(f"module 'onesde' has no attribute {name!r}")
    with ours_first():
        package = import_module(name)
    places = [*getattr(package, "__path__", [package.__file__])]
    if HERE / name not in [Path(place).resolve() for place in places]:
        why = f"{places[0]} is imported as {name}, so that OneSDE's cannot be"
        raise ImportError(f"{why}: import one of them, or rename yours", name=name)
    return package


@contextmanager
def ours_first() -> Iterator[None]:
    """Makes our packages the first of their names that an import looks for."""
    finder = SimpleNamespace(find_spec=_find_spec)
    sys.meta_path.insert(0, finder)  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)  # pyright: ignore[reportArgumentType]


def _find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
    return PathFinder.find_spec(name, [str(HERE)]) if name in __all__ else None


def main() -> None:
    """Runs the command `onesde`: `python -m experiments` with the working folder last on Python's path."""
    sys.path.append("")
    with ours_first():
        runpy.run_module("experiments", run_name="__main__")
