"""What the arms of a comparison have in common: programs, which each is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sde_lib
from sde_lib.one_of import OneOf


@dataclass(frozen=True, eq=False)
class Family:
    """The SDEs of runs that differ by their SDE and their seed alone, and the programs that all of these runs call.

    An SDE is an argument of a program, by its number; of a single one it is no argument. `programs`: by what they do.
    """

    sdes: tuple[sde_lib.SDE, ...]
    programs: dict[Any, Any] = field(default_factory=dict)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Returns the program of a name, which the first call makes."""
        if name not in self.programs:
            self.programs[name] = make()
        return self.programs[name]

    def sde(self, which: Any) -> sde_lib.SDE | None:
        """Returns the SDE of a number, which may be traced; None if there is but one."""
        return OneOf(which, self.sdes) if len(self.sdes) > 1 else None
