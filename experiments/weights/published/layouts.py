"""The layouts of published weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from experiments.config.parts import trains_codec
from experiments.config.schema import Config
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout
from experiments.weights.published import (
    adm,
    diffusers_autoencoder,
    diffusers_ddpm,
    diffusers_latent,
    diffusers_ncsnpp,
    diffusers_pipeline,
    diffusers_unet,
    edm,
    ncsn,
    score_sde,
    transformers,
)
from models.networks.adm import ADM
from models.networks.ddpm import DDPM
from models.networks.dit import DiT
from models.networks.edm_unet import EDMUNet
from models.networks.ldm_unet import LDMUNet
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


KINDS = {
    "UNet2DModel": partial(diffusers_unet.read, kinds=(diffusers_ddpm.KIND, diffusers_ncsnpp.KIND)),
    "UNet2DConditionModel": diffusers_latent.read,
    "AutoencoderKL": diffusers_autoencoder.read_kl,
    "VQModel": diffusers_autoencoder.read_vq,
}
"""The folders of diffusers, by the class in config.json."""


OURS = ("native", "lora")
"""Forms of our own: the network, and its adapters alone."""


class Export(NamedTuple):
    """A run that is written for elsewhere: its network `net` with shapes in place of arrays, and its `params`.

    `shape`: of an example. `codec`: the config and the parameters of codec.run.
    """

    config: Config
    net: nnx.Module
    params: Any
    shape: tuple[int, ...]
    codec: tuple[Config, Any] | None = None


def write_diffusers(folder: Path, run: Export) -> None:
    """Writes a folder of diffusers: a codec, a score of codes with it, or a DDPM of examples."""
    if trains_codec(run.config):
        diffusers_autoencoder.write_folder(folder, run.config, run.params, run.shape)
    elif isinstance(run.net, LDMUNet):
        diffusers_pipeline.write(folder, run.config, run.net, run.params, run.shape, run.codec)
    else:
        diffusers_ddpm.write_folder(folder, run.config, run.net, run.params, run.shape)


EXPORTS: dict[str, Callable[[Path, Export], None]] = {"diffusers": write_diffusers}
"""Functions that write a run for elsewhere, by name."""
