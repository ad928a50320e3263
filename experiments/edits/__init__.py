"""Edits of held-out examples, a file each. EDITS is the registry that configs name from."""

from experiments.edits.between import between
from experiments.edits.manipulate import manipulate
from experiments.edits.posterior import dps, pi_gdm
from experiments.edits.progressive import progressive
from experiments.edits.replacement import colorize, inpaint, superresolve
from experiments.edits.round_trip import round_trip
from experiments.edits.sdedit import sdedit
from experiments.edits.shared import shared

__all__ = [
    "between",
    "colorize",
    "dps",
    "inpaint",
    "manipulate",
    "pi_gdm",
    "progressive",
    "round_trip",
    "sdedit",
    "shared",
    "superresolve",
]

EDITS = (between, colorize, dps, inpaint, manipulate, pi_gdm, progressive, round_trip, sdedit, shared, superresolve)
