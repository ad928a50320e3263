"""Stochastic differential equations from data to noise."""

from sde_lib.base import SDE, LinearSDE, Score
from sde_lib.check import check
from sde_lib.diagonal import BlurringSDE, PolynomialVPSDE
from sde_lib.linear import (
    EDMSDE,
    VESDE,
    VPSDE,
    CosineVPSDE,
    GeometricVPSDE,
    LogLinearVPSDE,
    RectifiedFlowSDE,
    SubVPSDE,
    TableVPSDE,
    ddpm_table,
)

__all__ = [
    "SDE",
    "LinearSDE",
    "Score",
    "check",
    "VPSDE",
    "VESDE",
    "EDMSDE",
    "SubVPSDE",
    "CosineVPSDE",
    "GeometricVPSDE",
    "LogLinearVPSDE",
    "RectifiedFlowSDE",
    "BlurringSDE",
    "PolynomialVPSDE",
    "TableVPSDE",
    "ddpm_table",
]

SDES = (
    *(VPSDE, VESDE, EDMSDE, SubVPSDE, CosineVPSDE, GeometricVPSDE, LogLinearVPSDE, RectifiedFlowSDE, ddpm_table),
    *(BlurringSDE, PolynomialVPSDE),
)
"""The SDEs that a config names."""
