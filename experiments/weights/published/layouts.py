"""The layouts of published weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from experiments.config.schema import Config
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout
from experiments.weights.published import adm, diffusers_ddpm, diffusers_ncsnpp, edm, ncsn, score_sde, transformers
from models.networks.adm import ADM
from models.networks.ddpm import DDPM
from models.networks.dit import DiT
from models.networks.edm_unet import EDMUNet
from models.networks.ncsn import NCSN
from models.networks.ncsnpp import NCSNpp
from models.networks.ncsnv2 import NCSNv2
from models.networks.uvit import UViT


class Published(NamedTuple):
    """The `layout` of files that do not say their network, for one of our `nets`; `prepare` changes the tensors before it."""

    nets: tuple[type[Any], ...]
    layout: Callable[[Any], Layout]
    prepare: Callable[[layouts.Tensors], dict[str, np.ndarray]] = dict


LAYOUTS = {
    "score_sde": Published((NCSNpp, DDPM), score_sde.pytorch),
    "score_sde_flax": Published((NCSNpp, DDPM), score_sde.flax, score_sde.kernels),
    "ncsn": Published((NCSN, NCSNv2), ncsn.ncsn),
    "adm": Published((ADM,), adm.openai),
    "adm_new_order": Published((ADM,), partial(adm.openai, order="new")),
    "edm": Published((EDMUNet,), edm.song),
    "edm_adm": Published((ADM,), edm.dhariwal, edm.turned),
    "dit": Published((DiT,), transformers.dit),
    "dit_diffusers": Published((DiT,), transformers.dit_diffusers),
    "uvit": Published((UViT,), transformers.uvit),
}


KINDS = (diffusers_ddpm.KIND, diffusers_ncsnpp.KIND)
"""The folders of diffusers."""


OURS = ("native", "lora")
"""Forms of our own: the network, and its adapters alone."""


EXPORTS: dict[str, Callable[[Path, Config, nnx.Module, Any, tuple[int, ...]], None]] = {
    "diffusers": diffusers_ddpm.write_folder
}
"""Functions that write a network for elsewhere, by name: write(folder, config, net, params, shape)."""
