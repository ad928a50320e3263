# /// script
# requires-python = ">=3.11"
# dependencies = ["bionemo-moco==0.0.2.2", "torch==2.13.0", "scipy"]
# ///
"""bionemo-moco: an interpolant stepped along an inference schedule, as its docstrings do, by the exact x_0 or velocity."""

import torch
from bionemo.moco.distributions.prior import GaussianPrior
from bionemo.moco.distributions.time import UniformTimeDistribution
from bionemo.moco.interpolants import VDM, ContinuousFlowMatcher
from bionemo.moco.schedules.inference_time_schedules import LinearInferenceSchedule
from bionemo.moco.schedules.noise.continuous_snr_transforms import CosineSNRTransform, LinearSNRTransform

from benchmarks.public.yardstick import Draws, Sampler, report

PARTS = UniformTimeDistribution(), GaussianPrior()


def diffusion(name, snr, step, order=None, note="", steps=(250, 1000), **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        vdm, schedule = VDM(*PARTS, snr), LinearInferenceSchedule(steps, direction="diffusion")
        level = lambda t: snr.log_snr_to_alphas_sigmas(snr.calculate_log_snr(t))
        x = start = vdm.sample_prior((n // 16, 16))
        for t, dt in zip(schedule.generate_schedule(), schedule.discretize(), strict=True):
            time, change = (each.expand(n // 16) for each in (t, dt))
            denoised = law.denoised(x, *(each[:, None] for each in level(time)), torch)
            x = getattr(vdm, step)(denoised, time, x, change, **options)
        at = lambda t: tuple(float(each) for each in level(torch.tensor([t])))
        return Draws(x, at(0.0), start, at(1.0))

    return Sampler(name, draw, steps, order, note)


def flow(name, step, order=None, steps=(50, 200), note=""):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        matcher, schedule = ContinuousFlowMatcher(*PARTS, prediction_type="velocity"), LinearInferenceSchedule(steps)
        x = start = matcher.sample_prior((n // 16, 16))
        for t, dt in zip(schedule.generate_schedule(), schedule.discretize(), strict=True):
            time, change = (each.expand(n // 16) for each in (t, dt))
            velocity = law.denoised(x, t, 1 - t, torch) - law.noise(x, t, 1 - t, torch)
            x = getattr(matcher, step)(velocity, x, change, time)
        return Draws(x, start=start, top=(0.0, 1.0))

    return Sampler(name, draw, steps, order, note)


SHAPE = "bug: `VDM.step_ode` and `step_hybrid_sde` (vdm.py) multiply an event's array by the [batch] of dt that `step` takes"
ROOT = (
    "bug: `VDM.step_ddim` (vdm.py) takes the root of 1 - alpha_s^2 - eta^2 sigma^2, which is zero at the first step of eta 1, "
    "and -6e-8 by the rounding of float32"
)

report(
    "bionemo-moco",
    [
        diffusion("VDM, cosine", CosineSNRTransform(), "step"),
        diffusion("VDM, linear", LinearSNRTransform(), "step"),
        diffusion("VDM's DDIM, cosine", CosineSNRTransform(), "step_ddim", 1, steps=(100, 400)),
        diffusion("VDM's DDIM at eta 1, cosine", CosineSNRTransform(), "step_ddim", steps=(100, 400), note=ROOT, eta=1.0),
        diffusion("VDM's ODE, cosine", CosineSNRTransform(), "step_ode", 1, SHAPE),
        diffusion("VDM's hybrid SDE, cosine", CosineSNRTransform(), "step_hybrid_sde", note=SHAPE),
        flow("flow matching", "step", 1),
        flow("flow matching, stochastic", "step_score_stochastic", steps=(250, 1000)),
    ],
)
