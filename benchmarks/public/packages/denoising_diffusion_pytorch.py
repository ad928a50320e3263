# /// script
# requires-python = ">=3.11"
# dependencies = ["denoising-diffusion-pytorch==2.3.4", "torch==2.13.0", "scipy"]
# ///
"""denoising_diffusion_pytorch: a network in one of its diffusions, whose images are in [0, 1], as its README does."""

import torch
from denoising_diffusion_pytorch import (
    ContinuousTimeGaussianDiffusion,
    ElucidatedDiffusion,
    GaussianDiffusion,
    VParamContinuousTimeGaussianDiffusion,
)

from benchmarks.public.yardstick import Draws, Sampler, report


class Exact(torch.nn.Module):
    """A network with the attributes that the package reads off its own U-Net; `output` is set once its diffusion is built."""

    channels = out_dim = 3
    self_condition = False

    def __init__(self, continuous):
        super().__init__()
        self.random_or_learned_sinusoidal_cond = continuous
        self.weight = torch.nn.Parameter(torch.zeros(()))  # whose device is asked for

    def forward(self, x, t, self_cond=None):
        return self.output(x, t.view(-1, 1, 1, 1))


def sampler(name, kind, network, top, order=None, note="", steps=(100, 400), method="sample", of="num_sample_steps", **options):
    """`of`: the option that is the number of steps."""

    def draw(law, n, steps, seed):
        batch, net = -(-n // 48), Exact(kind is not GaussianDiffusion)
        diffusion = kind(net, image_size=4, **{of: steps}, **options)
        net.output = network(law, diffusion)
        torch.manual_seed(seed)
        start = torch.randn(batch, 3, 4, 4)
        torch.manual_seed(seed)  # the diffusion's first draw
        alpha, sigma = top(diffusion)
        x = 2 * getattr(diffusion, method)(batch) - 1
        return Draws(x, start=start * (sigma if alpha == 1 else 1), top=(alpha, sigma), last=last(diffusion))

    return Sampler(name, draw, steps, order, note)


def predicted_noise(law, diffusion):
    alpha, sigma = diffusion.sqrt_alphas_cumprod, diffusion.sqrt_one_minus_alphas_cumprod
    return lambda x, t: law.noise(x, alpha[t], sigma[t], torch)


def noisiest(diffusion):
    return float(diffusion.sqrt_alphas_cumprod[-1]), float(diffusion.sqrt_one_minus_alphas_cumprod[-1])


def last(diffusion):
    """The level from which the last step denoises."""
    if isinstance(diffusion, GaussianDiffusion):
        return float(diffusion.sqrt_alphas_cumprod[0]), float(diffusion.sqrt_one_minus_alphas_cumprod[0])
    return (1.0, diffusion.sigma_min) if isinstance(diffusion, ElucidatedDiffusion) else None


def s_max(diffusion):
    return 1.0, float(diffusion.sigma_max)


def prior(diffusion):
    return 0.0, 1.0


def preconditioned(law, diffusion):
    def output(x, c):
        sigma = (4 * c).exp()
        x = x / diffusion.c_in(sigma)
        exact = law.denoised(x, torch.ones_like(sigma), sigma, torch)
        return (exact - diffusion.c_skip(sigma) * x) / diffusion.c_out(sigma)

    return output


def level(log_snr):
    return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()


def noise(law, diffusion):
    return lambda x, log_snr: law.noise(x, *level(log_snr), torch)


def v(law, diffusion):
    def output(x, log_snr):
        alpha, sigma = level(log_snr)
        return alpha * law.noise(x, alpha, sigma, torch) - sigma * law.denoised(x, alpha, sigma, torch)

    return output


def discrete(name, order=None, of="sampling_timesteps", **options):
    return sampler(name, GaussianDiffusion, predicted_noise, noisiest, order, of=of, objective="pred_noise", **options)


INFLATED = "approximation: S_churn 80 and S_noise 1.003, its defaults and the paper's for ImageNet, inflate the noise"
DPM = "sample_using_dpmpp"

report(
    "denoising-diffusion-pytorch",
    [
        discrete("DDPM", of="timesteps", steps=(250, 1000)),
        discrete("DDIM", 1),
        discrete("DDIM at eta 1", ddim_sampling_eta=1.0),
        sampler("EDM as it comes", ElucidatedDiffusion, preconditioned, s_max, note=INFLATED, steps=(32, 256)),
        sampler("EDM without churn", ElucidatedDiffusion, preconditioned, s_max, 2, steps=(32, 128), S_churn=0),
        sampler("EDM's DPM-Solver++", ElucidatedDiffusion, preconditioned, s_max, 2, steps=(32, 128), method=DPM),
        sampler("continuous time, linear", ContinuousTimeGaussianDiffusion, noise, prior, steps=(250, 1000)),
        sampler("continuous time, v", VParamContinuousTimeGaussianDiffusion, v, prior, steps=(250, 1000)),
    ],
)
