"""Programs that the arms of a comparison share, each of which is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jax.core import Tracer

from sde_lib import LinearSDE
from sde_lib.one_of import OneOf


@dataclass(frozen=True, eq=False)
class Family:
    """Runs that differ by their linear SDE and their seed alone, by the programs that all of them call.

    `sdes`: if there are several, and then the number of one is an argument of every program. `programs`: by what they do.
    """

    sdes: tuple[LinearSDE, ...] = ()
    programs: dict[Any, Any] = field(default_factory=dict)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Returns the program of a name, which the first call makes."""
        if name not in self.programs:
            self.programs[name] = make()
        return self.programs[name]

    def sde(self, which: Any) -> LinearSDE:
        """Returns the SDE of a number; in a program, where the number is traced, it is one of all."""
        return OneOf(which, self.sdes) if isinstance(which, Tracer) else self.sdes[int(which)]
