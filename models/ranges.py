"""The ranges of a network's options: beyond them it cannot be built, or takes minutes to trace."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt

Width = Annotated[int, Ge(1), Le(16384)]
"""Channels, or heads of them."""
Multipliers = Annotated[tuple[Annotated[int, Ge(1), Le(64)], ...], Len(1, 16)]
Depth = Annotated[int, Ge(1), Le(100)]
"""Blocks in a row."""
Fraction = Annotated[float, Gt(0), Lt(1)]
Levels = Annotated[int, Ge(0), Le(16)]
"""Resolutions, each half the one before; 0: none but that of the event."""
Dropout = Annotated[float, Ge(0), Lt(1)]
Classes = Annotated[int, Ge(0), Le(1_000_000)]
Numbers = Annotated[int, Ge(0), Le(16384)]
"""Those of a condition that is a vector; 0: no such condition."""
Vocabulary = Annotated[int, Ge(0), Le(1_000_000)]
"""Kinds of tokens; 0: no text."""
Taps = Annotated[tuple[float, ...], Len(2, 64)]
