# /// script
# requires-python = ">=3.11"
# dependencies = ["diffusers==0.42.1", "torch==2.13.0", "torchsde", "scipy"]
# ///
"""diffusers: each scheduler as it comes, in the loop of its pipelines.

The network hears the noise level of the scheduler's own state, which its fractional timesteps stand for.
"""

import diffusers
import torch

from benchmarks.public.yardstick import Draws, Sampler, report

diffusers.utils.logging.set_verbosity_error()

BETAS = {"beta_start": 0.0001, "beta_end": 0.02}
"""DDPM's, of some schedulers' defaults; others' are Stable Diffusion's."""


def training_sigma(scheduler, t):
    """sigma/alpha of an integer timestep."""
    alpha_bar = scheduler.alphas_cumprod[int(t)]
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def sigma_of(scheduler, t):
    """sigma/alpha at which the scheduler takes its next model output."""
    if not hasattr(scheduler, "sigmas"):
        return training_sigma(scheduler, t)
    if scheduler.step_index is None:
        scheduler._init_step_index(t)
    i = scheduler.step_index
    if not getattr(scheduler, "state_in_first_order", True):  # the second stage of a step
        if isinstance(scheduler, diffusers.KDPM2DiscreteScheduler):
            return scheduler.sigmas_interpol[i]
        if isinstance(scheduler, diffusers.KDPM2AncestralDiscreteScheduler):
            return scheduler.sigmas_interpol[i - 1]
        if isinstance(scheduler, diffusers.DPMSolverSDEScheduler):
            return scheduler.mid_point_sigma
    return scheduler.sigmas[i]


def preserving(sigma):
    return 1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()


def vp(law, scheduler):
    """The predicted noise of the input alpha x_0 + sigma z that a network is trained on."""
    return lambda x, t: law.noise(x, *preserving(sigma_of(scheduler, t)), torch)


def edm(law, scheduler):
    """The output from which EDM's preconditioning makes the exact denoised."""

    def network(x, t):
        s, data = sigma_of(scheduler, t), scheduler.config.sigma_data
        y, c_out = x * (s**2 + data**2).sqrt(), s * data / (s**2 + data**2).sqrt()
        return (law.denoised(y, torch.ones_like(s), s, torch) - data**2 / (s**2 + data**2) * y) / c_out

    return network


def flow(law, scheduler):
    """The velocity z - x_0 of x = (1 - s) x_0 + s z."""

    def network(x, t):
        s = sigma_of(scheduler, t)
        return law.noise(x, 1 - s, s, torch) - law.denoised(x, 1 - s, s, torch)

    return network


def sampler(name, order=None, steps=(50, 200), note="", network=vp, label="", step=None, **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        scheduler = getattr(diffusers, f"{name}Scheduler")(**options)
        scheduler.set_timesteps(steps)
        model, start = network(law, scheduler), torch.randn(-(-n // 48), 3, 4, 4)
        x = start = start * getattr(scheduler, "init_noise_sigma", 1.0)
        first = sigma_of(scheduler, scheduler.timesteps[0])
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(model(scaled, t), t, x, **(step or {})).prev_sample
        return Draws(x, start=start, **ends(scheduler, network, first))

    return Sampler(f"{name}, {label}" if label else name, draw, steps, order, note)


def on_karras(name, order, **options):
    """A solver of this order, whose last level before sigma = 0 is the same for all numbers of steps."""
    return sampler(name, order, label=f"order {order}, Karras sigmas", use_karras_sigmas=True, **BETAS, **options)


HALF = (
    "bug: the D2 of `multistep_dpm_solver_third_order_update` (scheduling_dpmsolver_multistep.py) is (D1_0 - D1_1)/(r0 + r1), "
    "half of the second derivative that its factor goes with; that of the singlestep has the 2. From 256 to 512 steps its "
    "order is 2.0. With twice that D2 the order is 3.1, and the error is larger up to 64 steps and smaller from 128"
)


def ends(scheduler, network, first):
    """The levels of x at the start, at the end, and before a last step to sigma = 0."""
    if network is flow:
        return {"top": (1 - float(first), float(first))}
    exploding = scheduler.init_noise_sigma > 2
    at = lambda s: (1.0, float(s)) if exploding else tuple(float(each) for each in preserving(torch.as_tensor(s)))
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        reached = getattr(scheduler, "final_alpha_cumprod", 1.0) == 1.0
        return {"top": at(first), "last" if reached else "level": at(training_sigma(scheduler, 0))}
    if sigmas[-1] > 0 or isinstance(scheduler, diffusers.LMSDiscreteScheduler):  # whose last step is one of the flow
        return {"top": at(first), "level": at(sigmas[-1])}
    return {"top": at(first), "last": at(sigmas[sigmas > 0][-1])}


def score_sde_ve(law, n, steps, seed):
    """The loop of ScoreSdeVePipeline."""
    torch.manual_seed(seed)
    scheduler = diffusers.ScoreSdeVeScheduler()
    x = torch.randn(-(-n // 48), 3, 4, 4) * scheduler.init_noise_sigma
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    for i, t in enumerate(scheduler.timesteps):
        score = lambda x, sigma=scheduler.sigmas[i]: law.score(x, torch.ones_like(sigma), sigma, torch)
        x = scheduler.step_correct(score(x), x).prev_sample
        x, mean = scheduler.step_pred(score(x), t, x, return_dict=False)
    return Draws(mean)


report(
    "diffusers",
    [
        sampler("DDIM", 1),
        sampler("PNDM", 2),
        sampler("EulerDiscrete", 1),
        sampler("HeunDiscrete", **BETAS),
        sampler("KDPM2Discrete", **BETAS),
        sampler("LMSDiscrete"),
        sampler("DPMSolverMultistep"),
        sampler("DPMSolverSinglestep", lower_order_final=True),
        sampler("DEISMultistep"),
        sampler("UniPCMultistep"),
        on_karras("HeunDiscrete", 2),
        on_karras("KDPM2Discrete", 2),
        on_karras("LMSDiscrete", 4),
        on_karras("DPMSolverMultistep", 2),
        on_karras("DPMSolverMultistep", 3, note=HALF, solver_order=3),
        on_karras("DPMSolverSinglestep", 2, lower_order_final=True),
        on_karras("DEISMultistep", 2),
        on_karras("UniPCMultistep", 2),
        sampler("EDMEuler", 1, network=edm),
        sampler("EDMDPMSolverMultistep", 2, network=edm),
        sampler("FlowMatchEulerDiscrete", 1, network=flow),
        sampler("FlowMatchHeunDiscrete", 2, network=flow),
        sampler("DDPM", steps=(250, 1000)),
        sampler("DDIM", steps=(100, 500), label="eta 1", step={"eta": 1.0}),
        sampler("EulerAncestralDiscrete", steps=(100, 400)),
        sampler("KDPM2AncestralDiscrete", steps=(100, 400), **BETAS),
        sampler("DPMSolverMultistep", label="sde-dpmsolver++", algorithm_type="sde-dpmsolver++"),
        sampler("DPMSolverSDE", steps=(25, 100), **BETAS),
        sampler("SASolver"),
        Sampler("ScoreSdeVe", score_sde_ve, (500, 2000)),
    ],
)
