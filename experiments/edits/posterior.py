"""pi_gdm, dps: draws of p(x_0 | y) for what is measured of an example, y = A x_0 + noise."""

from __future__ import annotations

import samplers
from experiments.edits.base import Edit, Frame, Setting, Trained
from experiments.edits.conditional import Factor, Seen, led, see
from samplers.reverse import Reverse
from sde_lib.base import Event, NonNegative, Positive


def pi_gdm(
    setting: Setting,
    hidden: Seen = "right",
    factor: Factor | None = None,
    noise: NonNegative = 0.05,
    sigma_data: Positive = 0.5,
    draws: Frame = 4,
) -> Edit:
    """Every sampler by the score of p(x_0 | y) with a Gaussian around x_0_hat: Song et al. (2023)."""
    what = see(setting, hidden, factor)

    def lead(run: Trained, seen: Event) -> Reverse:
        return run.reverse(
            lambda score: samplers.pi_gdm(setting.sde, score, what.project, seen, noise, setting.shape, sigma_data)
        )

    return led(setting, what, draws, lead, float(noise))


def dps(
    setting: Setting,
    hidden: Seen = "right",
    factor: Factor | None = None,
    noise: NonNegative = 0.05,
    zeta: Positive = 0.5,
    draws: Frame = 4,
) -> Edit:
    """Each step followed by one down |y - A x_0_hat|: Chung et al. (2023)."""
    what = see(setting, hidden, factor)

    def lead(run: Trained, seen: Event) -> Reverse:
        reverse = run.reverse()
        return reverse._replace(step=samplers.dps(reverse.step, setting.sde, run.score, what.project, seen, zeta))

    return led(setting, what, draws, lead, float(noise))
