"""diffusers' folders of a StableDiffusionPipeline: a codec in vae/, and a score of its codes in unet/ and text_encoder/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from experiments.config.schema import CodecConfig, Config
from experiments.weights.published import clip, diffusers, diffusers_autoencoder, diffusers_latent
from experiments.weights.published.diffusers import Source
from experiments.weights.published.diffusers_autoencoder import KL
from experiments.weights.published.diffusers_latent import TEXT
from models.networks.ldm_unet import LDMUNet

PARTS = {
    "vae": "AutoencoderKL",
    "unet": "UNet2DConditionModel",
    "text_encoder": "CLIPTextModel",
}
BESIDE = ("scheduler", "tokenizer", "safety_checker", "feature_extractor")
"""Parts that have no weights of a run of ours: the scheduler is in its config, and the others are not in it."""


class Pipeline(NamedTuple):
    """The content of a folder: the codec, and the score of its codes."""

    vae: Source
    unet: Source


def holds_pipeline(folder: Path) -> bool:
    """Returns whether a folder is a pipeline of more than a network and its noise."""
    return (folder / "model_index.json").is_file() and (folder / "vae").is_dir()


def read(folder: Path) -> Pipeline:
    """Returns a folder's parts. StorageError names each part, and each field of one, that ours has no equal of."""
    index, of_vae, of_text = (folder / name for name in ("model_index.json", "vae/config.json", "text_encoder"))
    entries = diffusers.content(index).items()
    there = {name: entry[1] for name, entry in entries if isinstance(entry, list) and len(entry) == 2 and entry[1]}
    problems = [f"{name} = {what!r}" for name, what in there.items() if name not in BESIDE and what != PARTS.get(name)]
    problems += [f"{name}: it is absent, and must be {PARTS[name]}" for name in ("vae", "unet") if name not in there]
    if problems:
        raise diffusers.refusal(index, problems)
    for part in ("vae", "unet"):
        diffusers.require_class(folder / part / "config.json", [PARTS[part]])
    text = clip.read_text(of_text) if "text_encoder" in there else None
    vae: KL = diffusers.read_fields(of_vae, KL)
    unet = diffusers_latent.read(folder, folder / "unet", vae, text)
    *sides, channels = unet.shape
    f = 2 ** (len(vae.block_out_channels) - 1)
    diffusers.require(of_vae, vae, {"latent_channels": vae.latent_channels == channels})
    codec = diffusers_autoencoder.as_codec(of_vae, vae.model_copy(update={"sample_size": tuple(f * side for side in sides)}))
    if text is not None:
        of_net = {f"{TEXT}{name}": tensor for name, tensor in clip.weights_of(of_text).items()}
        unet = unet._replace(tensors=unet.tensors | of_net)
    return Pipeline(codec, unet)


def write(
    folder: Path, config: Config, net: LDMUNet, params: Any, shape: tuple[int, ...], codec: tuple[Config, Any] | None
) -> None:
    """Writes a score of codes as a folder that StableDiffusionPipeline loads, with a tokenizer of the caller's.

    `shape`: of an image. `codec`: the config and the parameters of codec.run. Its codes are standardised by its own weights, if
    a factor does not do it. StorageError says what diffusers has no equal of.
    """
    section, theirs = config.codec or CodecConfig(), codec[0].codec if codec else None
    is_kl = bool(theirs and theirs.by and theirs.by.name == "kl_autoencoder")
    by_factor = not any(section.mean) and len(section.std) <= 1
    sides = (theirs.encoder, theirs.decoder) if theirs else ()
    has_maps = all(side and side.options.get("quant", True) for side in sides)
    needs = diffusers_latent.needs(config, net) | {
        "codec.run of a kl_autoencoder, without codec.by": is_kl and not section.by,
        "quant = True in both networks of its codec, or codes of mean 0 and of one standard deviation": by_factor or has_maps,
    }
    diffusers.require_met("diffusers' StableDiffusionPipeline is", needs)
    assert codec
    of_run, params_of_run = codec
    if not by_factor:
        params_of_run = diffusers_autoencoder.standardised(params_of_run, section.mean, section.std)
    scaling_factor = 1 / section.std[0] if by_factor and section.std else 1.0
    diffusers_autoencoder.write_folder(folder / "vae", of_run, params_of_run, shape, scaling_factor)
    diffusers_latent.write(folder, config, net, params)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"] if net.clip else [None, None],
        **{part: [None, None] for part in ("tokenizer", "safety_checker", "feature_extractor")},
        "requires_safety_checker": False,
    }
    diffusers.write_json(folder / "model_index.json", index)
