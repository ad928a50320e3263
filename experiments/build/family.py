"""What the arms of a comparison have in common: programs, which each is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax

import sde_lib
from sde_lib.one_of import OneOf


@dataclass(frozen=True, eq=False)
class Family:
    """The SDEs of runs that differ by their SDE and their seed alone, and the programs that all of these runs call.

    If there are several SDEs, the number of one is an argument of every program. `programs`: by what they do.
    """

    sdes: tuple[sde_lib.SDE, ...]
    programs: dict[Any, Any] = field(default_factory=dict)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Returns the program of a name, which the first call makes."""
        if name not in self.programs:
            self.programs[name] = make()
        return self.programs[name]

    @property
    def several(self) -> bool:
        """True if there is more than one SDE."""
        return len(self.sdes) > 1

    def sde(self, which: Any) -> sde_lib.SDE:
        """Returns the SDE of a number; in a program, where the number is traced, it is one of all."""
        return OneOf(which, self.sdes) if isinstance(which, jax.core.Tracer) else self.sdes[int(which)]
