# /// script
# requires-python = ">=3.11"
# dependencies = ["torchdiff==2.7.0", "torch==2.13.0", "scipy"]
# ///
"""torchdiff: a scheduler, the forward and the reverse SDE, and SampleSDE, which also builds a tokenizer of texts."""

import tempfile
from pathlib import Path

import torch
from torchdiff.sde import ForwardSDE, ReverseSDE, SampleSDE, SchedulerSDE

from benchmarks.public.yardstick import Draws, Sampler, report


class Exact(torch.nn.Module):
    """The noise in what ForwardSDE makes, from which the network is trained."""

    def __init__(self, law, forward_sde):
        super().__init__()
        self.law, self.forward_sde = law, forward_sde

    def forward(self, x, t, y=None):
        level = (each.view(-1, 1, 1, 1) for each in self.forward_sde.get_forward_params(t))
        return self.law.noise(x, *level, torch)


def sampler(name, method, order=None, note="", steps=(250, 1000)):
    def draw(law, n, steps, seed):
        schedule = SchedulerSDE()
        net = Exact(law, ForwardSDE(schedule, method))
        with tempfile.TemporaryDirectory() as folder:  # a vocabulary, or the tokenizer's would be fetched
            (Path(folder) / "vocab.txt").write_text("[UNK]\n[SEP]\n[PAD]\n[CLS]\n[MASK]\n")
            sample = SampleSDE(
                ReverseSDE(schedule, method), net, (4, 4), tokenizer=folder, batch_size=-(-n // 48), device="cpu"
            )
        torch.manual_seed(seed)
        start = torch.randn(-(-n // 48), 3, 4, 4)
        torch.manual_seed(seed)  # the sampler's first draw
        x = sample(steps, norm_output=False, save_imgs=False)
        level = lambda t: tuple(float(each) for each in net.forward_sde.get_forward_params(torch.tensor([t])))
        return Draws(x, level(1e-5), start, level(1.0))

    return Sampler(name, draw, steps, order, note)


VE = "bug: `SampleSDE.forward` (sde.py) starts from N(0, I) for every method; x_1 of its VE-SDE has the std 50"
SUB = (
    "bug: sub-VP here (sde.py) is x_t = x_0 + sigma(t) z with sigma^2 = 1 - exp(-int beta), and its reverse is of "
    "dx = sqrt(beta) dw, whose variance is int beta; Song et al.'s has alpha = exp(-int beta/2) and sigma = 1 - exp(-int beta)"
)

report(
    "torchdiff",
    [
        sampler("VP", "vp"),
        sampler("probability flow", "ode", 1, steps=(100, 400)),
        sampler("VE", "ve", note=VE),
        sampler("sub-VP", "sub-vp", note=SUB),
    ],
)
