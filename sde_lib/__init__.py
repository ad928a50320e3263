"""Stochastic differential equations from data to noise."""

from sde_lib.augmented import CLD, AugmentedSDE
from sde_lib.base import SDE, LinearSDE, Score
from sde_lib.check import check
from sde_lib.diagonal import BlurringSDE, PolynomialVPSDE
from sde_lib.learned import LearnedVPSDE
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
from sde_lib.neural_flow import NeuralFlow, NeuralFlowSDE
from sde_lib.nonlinear import LangevinSDE, LogisticSDE

__all__ = [
    "SDE",
    "LinearSDE",
    "AugmentedSDE",
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
    "LearnedVPSDE",
    "CLD",
    "TableVPSDE",
    "ddpm_table",
    "NeuralFlow",
    "NeuralFlowSDE",
    "LangevinSDE",
    "LogisticSDE",
]

SDES = (
    *(VPSDE, VESDE, EDMSDE, SubVPSDE, CosineVPSDE, GeometricVPSDE, LogLinearVPSDE, RectifiedFlowSDE, ddpm_table),
    *(BlurringSDE, PolynomialVPSDE, LearnedVPSDE, CLD, LogisticSDE),
)
"""The SDEs that a config names."""
