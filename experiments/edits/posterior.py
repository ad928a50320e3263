"""pi_gdm, dps: draws of p(x_0 | y) for a measurement of an example, y = A x_0 + noise."""

from __future__ import annotations

import samplers
from experiments.edits.base import Edit, Frame, Setting, Trained
from experiments.edits.conditional import Factor, View, conditional, measure
from samplers.reverse import Reverse
from sde_lib.base import Event, NonNegative, Positive


def pi_gdm(
    setting: Setting,
    hidden: View = "right",
    factor: Factor | None = None,
    noise: NonNegative = 0.05,
    sigma_data: Positive = 0.5,
    draws: Frame = 4,
) -> Edit:
    """Runs the sampler on the score of p(x_0 | y) with a Gaussian around x_0_hat: Song et al. (2023)."""
    measurement = measure(setting, hidden, factor)

    def steer(run: Trained, y: Event) -> Reverse:
        return run.reverse(
            lambda score: samplers.pi_gdm(setting.sde, score, measurement.project, y, noise, setting.shape, sigma_data)
        )

    return conditional(setting, measurement, draws, steer, float(noise))


def dps(
    setting: Setting,
    hidden: View = "right",
    factor: Factor | None = None,
    noise: NonNegative = 0.05,
    zeta: Positive = 0.5,
    draws: Frame = 4,
) -> Edit:
    """Follows each step by one down |y - A x_0_hat|: Chung et al. (2023)."""
    measurement = measure(setting, hidden, factor)

    def steer(run: Trained, y: Event) -> Reverse:
        reverse = run.reverse()
        return reverse._replace(step=samplers.dps(reverse.step, setting.sde, run.score, measurement.project, y, zeta))

    return conditional(setting, measurement, draws, steer, float(noise))
