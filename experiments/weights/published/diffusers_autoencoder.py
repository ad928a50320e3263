"""diffusers' folders of an AutoencoderKL or a VQModel: the first stages of latent diffusion as our codecs, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from experiments.config.options import parameters
from experiments.config.schema import CodecConfig, Config, Count, Positive
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers, diffusers_names, diffusers_pyramid
from experiments.weights.published.diffusers import Source
from experiments.weights.published.diffusers_names import ENDS, RULES
from experiments.weights.published.diffusers_pyramid import Blocks, Channels, Pyramid, Widths
from models.build import abstract
from models.networks.ldm_autoencoder import LDMDecoder, LDMEncoder


class Autoencoder(Pyramid):
    """The fields that both classes have, with their values for those that a config.json leaves out."""

    in_channels: Count = 3
    out_channels: Count = 3
    latent_channels: Channels
    down_block_types: tuple[Literal["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[Literal["UpDecoderBlock2D", "AttnUpDecoderBlock2D"], ...] = ("UpDecoderBlock2D",)
    block_out_channels: Widths = (64,)
    layers_per_block: Blocks = 1
    act_fn: Literal["silu", "swish"] = "silu"
    norm_num_groups: Count = 32
    sample_size: Count | tuple[Count, Count] = 32
    scaling_factor: Positive = 0.18215
    mid_block_add_attention: bool = True
    force_upcast: Any = None  # how to compute


class KL(Autoencoder):
    """The fields of AutoencoderKL."""

    latent_channels: Channels = 4
    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[Positive, ...] | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True

    @property
    def moments(self) -> dict[str, Any]:
        """The keys of our codec by which the codes of a pipeline are standardised: z' = (z - mean)/std."""
        n = len(self.latents_mean or self.latents_std or (0.0,))
        mean = self.latents_mean or (self.shift_factor or 0.0,) * n
        std = tuple(each / self.scaling_factor for each in self.latents_std or (1.0,) * n)
        return {"standardise": "scalar" if n == 1 else "channel", "mean": mean, "std": std}


class VQ(Autoencoder):
    """The fields of VQModel."""

    latent_channels: Channels = 3
    num_vq_embeddings: Annotated[int, Field(ge=2, le=2**20)] = 256
    vq_embed_dim: Count | None = None
    norm_type: Literal["group"] = "group"
    lookup_from_codebook: Any = None  # how to decode without quantising


class Networks(NamedTuple):
    """The networks of a codec, with shapes in place of arrays."""

    encoder: LDMEncoder
    decoder: LDMDecoder

    @property
    def groups(self) -> set[int]:
        """The numbers of groups of their normalisations."""
        return diffusers_pyramid.groups(self.encoder) | diffusers_pyramid.groups(self.decoder)

    @property
    def layout(self) -> Layout:
        """The layout of AutoencoderKL, of the parameters {"encoder", "decoder"}, and with "codebook" that of VQModel."""
        places = {
            f"{side}.{ours}": f"{side}.{theirs}"
            for side, net in self._asdict().items()
            for ours, theirs in diffusers_names.places(net, RULES | ENDS).items()
        }
        codes = {"encoder.quant": "quant_conv", "decoder.quant": "post_quant_conv", "codebook": "quantize.embedding.weight"}
        return Layout(places | codes)


def networks(codec: CodecConfig, shape: tuple[int, ...]) -> Networks:
    """Returns the networks of a codec of images of this shape."""
    assert codec.by
    assert codec.encoder
    assert codec.decoder
    encoder: Any = abstract(partial(LDMEncoder, **codec.encoder.options), shape)
    emitted = encoder.last.kernel.shape[-1]
    z = emitted // 2 if codec.by.name == "kl_autoencoder" else emitted
    decoder: Any = abstract(partial(LDMDecoder, channels=shape[-1], **codec.decoder.options), (*encoder.stages[-1].sides, z))
    return Networks(encoder, decoder)


def read_kl(folder: Path, root: Path) -> Source:
    """Returns an AutoencoderKL as a run that trained the codec `kl_autoencoder`."""
    return as_codec(root / "config.json", diffusers.read_fields(root / "config.json", KL))


def read_vq(folder: Path, root: Path) -> Source:
    """Returns a VQModel as a run that trained the codec `vq_autoencoder`."""
    path = root / "config.json"
    fields: VQ = diffusers.read_fields(path, VQ)
    diffusers.require(path, fields, {"vq_embed_dim": fields.vq_embed_dim in (None, fields.latent_channels)})
    source = as_codec(path, fields)
    return source._replace(sections=source.sections | {"evaluate.likelihood": 0})  # it has no density


def as_codec(path: Path, fields: KL | VQ) -> Source:
    """Returns the model of config.json at `path` as a run that trained a codec."""
    even = fields.even(fields.in_channels) | {"out_channels": fields.out_channels == fields.in_channels}
    diffusers.require(path, fields, even)
    codec, shape = _codec(fields), (*fields.sides, fields.in_channels)
    nets = networks(codec, shape)
    diffusers.require(path, fields, {"norm_num_groups": nets.groups == {fields.norm_num_groups}})
    sections = {
        "codec": codec.model_dump(include={"by", "encoder", "decoder"}),
        "objective": {"name": "rate_distortion", "beta": 1e-6},  # as published
        "weight": None,
        "times": {"name": "uniform"},
        "net": {"name": "Zero"},
        "parameterization": "edm",  # whose score without a network is that of N(0, I)
        "sigma_data": 1.0,
        "data.range": "symmetric",
    }
    return Source(sections, shape, diffusers.weights_of(path.parent), nets.layout)


def _codec(fields: KL | VQ) -> CodecConfig:
    """The section of the codec."""
    z, shared = fields.latent_channels, fields.options | {"middle_attention": fields.mid_block_add_attention}
    if isinstance(fields, KL):
        by = {"name": "kl_autoencoder", "scale": 1.0}
        emitted, into, out = 2 * z, fields.use_quant_conv, fields.use_post_quant_conv
    else:
        by = {"name": "vq_autoencoder", "codes": fields.num_vq_embeddings, "usage": 0.0, "legacy": True}
        emitted, into, out = z, True, True
    encoder = {"name": "LDMEncoder", "channels": emitted, **shared, "quant": into}
    return CodecConfig.model_validate({"by": by, "encoder": encoder, "decoder": {"name": "LDMDecoder", **shared, "quant": out}})


def standardised(params: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Returns the parameters of a codec whose codes are (z - mean)/std, by the two maps of their channels:

    mu' = (mu - mean)/std,   log s'^2 = log s^2 - 2 log std,   z = mean + std z'
    """
    into, back = (params[side]["quant"] for side in ("encoder", "decoder"))
    m, s = (np.broadcast_to(np.asarray(each, np.float32), len(back["kernel"])) for each in (mean, std))
    scale, shift = np.concatenate([1 / s, np.ones_like(s)]), np.concatenate([m / s, 2 * np.log(s)])
    of_encoder = {"kernel": into["kernel"] * scale, "bias": into["bias"] * scale - shift}
    of_decoder = {"kernel": s[:, None] * back["kernel"], "bias": back["bias"] + m @ back["kernel"]}
    return params | {
        "encoder": params["encoder"] | {"quant": of_encoder},
        "decoder": params["decoder"] | {"quant": of_decoder},
    }


def write_folder(folder: Path, config: Config, params: Any, shape: tuple[int, ...], scaling_factor: float = 1.0) -> None:
    """Writes a run that trained a codec as a folder that AutoencoderKL or VQModel loads.

    `scaling_factor`: the number that a pipeline multiplies its codes by. StorageError says what diffusers has no equal of.
    """
    codec, what = config.codec or CodecConfig(), "diffusers' AutoencoderKL and VQModel are"
    by, *sides = (part.name if part else "" for part in (codec.by, codec.encoder, codec.decoder))
    parts = {
        "codec.by = kl_autoencoder or vq_autoencoder": by in ("kl_autoencoder", "vq_autoencoder"),
        "codec.encoder = LDMEncoder, codec.decoder = LDMDecoder": sides == ["LDMEncoder", "LDMDecoder"],
        "codec.run = ''": not codec.run,
        "data.range = symmetric": config.data.range == "symmetric",
    }
    diffusers.require_met(what, parts)
    assert codec.encoder
    assert codec.decoder
    nets, is_kl = networks(codec, shape), by == "kl_autoencoder"
    encoder = {name: p.default for name, p in parameters(LDMEncoder).items()} | codec.encoder.options
    decoder = {name: p.default for name, p in parameters(LDMDecoder).items()} | codec.decoder.options
    same = ("width", "multipliers", "blocks", "attention", "middle_attention")
    needs = {
        f"the same {', '.join(same)} in both networks": all(encoder[each] == decoder[each] for each in same),
        "quant = True, if the codec has a codebook": is_kl or (encoder["quant"] and decoder["quant"]),
        diffusers_pyramid.EVEN_GROUPS: len(nets.groups) == 1,
    }
    diffusers.require_met(what, needs)
    fields = {
        **diffusers_pyramid.resolutions(nets.encoder.stages, "DownEncoderBlock2D", "UpDecoderBlock2D"),
        "in_channels": shape[-1],
        "out_channels": shape[-1],
        "latent_channels": nets.decoder.first.kernel.shape[-2],
        "layers_per_block": encoder["blocks"],
        "norm_num_groups": nets.groups.pop(),
        "scaling_factor": scaling_factor,
        "mid_block_add_attention": encoder["middle_attention"],
    }
    if is_kl:
        theirs = KL(**fields, use_quant_conv=encoder["quant"], use_post_quant_conv=decoder["quant"])
    else:
        theirs = VQ(**fields, num_vq_embeddings=len(params["codebook"]))
    places = nets.layout
    own = {name: params[name] for name in ("encoder", "decoder", "codebook") if name in params}
    tensors = layouts.to_published(own, places, diffusers_names.shapes(own, places))
    diffusers.write_model(folder, "AutoencoderKL" if is_kl else "VQModel", theirs.model_dump(exclude_none=True), tensors)
