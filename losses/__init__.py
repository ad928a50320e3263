"""Objectives for scores. `__all__` is the registry that configs name from."""

from losses.dsm import Loss, dsm
from losses.times import TimeSampler, discrete, importance, uniform
from losses.weights import likelihood, sigma2

__all__ = ["Loss", "TimeSampler", "discrete", "dsm", "importance", "likelihood", "sigma2", "uniform"]
