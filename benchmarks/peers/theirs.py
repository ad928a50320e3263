"""A PyTorch network's steps of training and of sampling, of the same work as `benchmarks.common.ours`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from benchmarks.common.turns import Contender


def theirs(
    net: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    layout: torch.memory_format,
    compiled: Callable[[nn.Module], Any] = lambda net: net,
    half: AbstractContextManager[Any] | None = None,
) -> tuple[dict[str, Contender], int]:
    """Returns a training step and a step of sampling on random images, and the number of parameters.

    A training step is the forward and backward pass, clipping, fused Adam and the average of parameters by foreach, of the
    network compiled(net) within `half`, an autocast.
    """
    device = next(net.parameters()).device
    net, half = net.to(memory_format=layout), half or nullcontext()
    predictor = compiled(net)
    parameters = list(net.parameters())
    ema = [p.detach().clone() for p in parameters]
    adam = torch.optim.Adam(parameters, 2e-4, fused=True)
    images = torch.rand(batch, shape[2], *shape[:2], device=device).to(memory_format=layout)

    def predicted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with half:
            y = predictor(x, t)
        return (y if isinstance(y, torch.Tensor) else y.sample).float()

    def train() -> None:
        net.train()
        t = torch.rand(batch, device=device) * 0.9 + 0.05
        alpha, z = (1 - t).sqrt()[:, None, None, None], torch.randn_like(images)
        loss = ((predicted(alpha * (2 * images - 1) + (1 - alpha**2).sqrt() * z, 999 * t) - z) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        torch._foreach_lerp_(ema, [p.detach() for p in parameters], 1e-4)

    x = [torch.randn_like(images)]

    @torch.inference_mode()
    def draw() -> None:
        net.eval()
        x[0] = 0.99 * x[0] + 0.01 * predicted(x[0], torch.full((batch,), 500.0, device=device))

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    return {"training": Contender(train, wait), "sampling": Contender(draw, wait)}, sum(p.numel() for p in parameters)
