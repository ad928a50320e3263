# /// script
# requires-python = ">=3.11"
# dependencies = ["score-models==0.5.11", "torch==2.13.0", "scipy"]
# ///
"""score_models: a ScoreModel of a network and an SDE, sampled by Euler-Maruyama, and its likelihood."""

import torch
from score_models import ScoreModel
from score_models.sde import VESDE

from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report

VE, VP = {"sde": "ve", "sigma_min": 0.01, "sigma_max": 50.0}, {"sde": "vp", "beta_min": 0.1, "beta_max": 20.0}


class Exact(torch.nn.Module):
    """sigma score, as the package's networks learn it."""

    def forward(self, t, x):
        alpha, sigma = (each.view(-1, 1) for each in self.sde.marginal_prob_scalars(t))
        return -self.law.noise(x, alpha, sigma, torch)


def model(law, sde):
    net = Exact()
    score = ScoreModel(net, **sde)
    net.law, net.sde = law, score.sde
    return score


def end(sde, t):
    return tuple(float(each) for each in model(None, sde).sde.marginal_prob_scalars(torch.tensor([t])))


def sampler(name, sde, note="", steps=(250, 1000)):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        return Draws(model(law, sde).sample((n // 16, 16), steps))

    return Sampler(name, draw, steps, note=note)


def likelihood(name, sde, t_0=0.0, note="", **options):
    def log_prob(law, x, seed):
        torch.manual_seed(seed)
        x = torch.as_tensor(x, dtype=torch.float32)
        return model(law, sde).log_likelihood(x, t0=t_0, **options)

    return Likelihood(name, log_prob, end(sde, t_0), note)


def sde_object(law, n, steps, seed):
    return ScoreModel(Exact(), sde=VESDE(sigma_min=0.01, sigma_max=50.0))


OBJECT = "bug: `ScoreModelBase` (base.py) calls `sde.lower()` of an SDE, which its signature takes beside a string"
ZERO = "bug: `log_likelihood` (base.py) begins at t = 0, where this SDE's sigma is 0 and `score` divides by it"
EULER = "approximation: Euler's steps and one probe, by default; the errors fall with both"

report(
    "score-models",
    [
        sampler("Euler-Maruyama, VP", VP),
        sampler("Euler-Maruyama, VE", VE),
        Sampler("an SDE object as the SDE", sde_object, (1,), note=OBJECT),
    ],
    [
        likelihood("Euler, 1000 steps, 1 probe, VE", VE, ode_steps=1000, note=EULER),
        likelihood("Heun, 1000 steps, 1 probe, VE", VE, ode_steps=1000, method="Heun", note=EULER),
        likelihood("Heun, 1000 steps, 1 probe, VP from t 1e-3", VP, 1e-3, ode_steps=1000, method="Heun", note=EULER),
        likelihood("Heun, 1000 steps, 1 probe, VP", VP, ode_steps=1000, method="Heun", note=ZERO),
    ],
)
