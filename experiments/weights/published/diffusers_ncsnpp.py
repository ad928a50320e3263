"""diffusers' folders of NCSN++ (google/ncsnpp-*): UNet2DModel of Skip blocks as our NCSN++ under the VE-SDE.

They are the published networks of 256 x 256 images and larger: "fourier", progressive="output_skip" and
progressive_input="input_skip". UNet2DModel takes the logarithm of sigma itself, and divides by sigma what it emits: that is the
score, and what goes before it is sigma times it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from experiments.config.schema import Count, Positive
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers
from experiments.weights.published.diffusers import RULES, Fields, Kind
from experiments.weights.tensors import MOST
from models.networks.ncsnpp import NCSNpp

Three = Annotated[int, Field(ge=3, le=3)]


class UNet(diffusers.UNet):
    """What of UNet2DModel is our NCSN++."""

    in_channels: Three  # which the Skip blocks say
    out_channels: Three
    down_block_types: tuple[Literal["SkipDownBlock2D", "AttnSkipDownBlock2D"], ...]
    up_block_types: tuple[Literal["SkipUpBlock2D", "AttnSkipUpBlock2D"], ...]
    norm_num_groups: Count | None
    center_input_sample: bool
    time_embedding_type: Literal["fourier"]
    mid_block_scale_factor: Annotated[float, Field(gt=1.41421, lt=1.41422)]  # sqrt(2), by which the Skip blocks divide
    freq_shift: Any  # these five, of other embeddings and blocks
    flip_sin_to_cos: Any
    downsample_padding: Any
    downsample_type: Any
    upsample_type: Any


class Scheduler(Fields):
    """ScoreSdeVeScheduler: sigma(t) = sigma_min (sigma_max / sigma_min)^t, and how the published sampler goes down it."""

    num_train_timesteps: Annotated[int, Field(ge=2, le=MOST)] = 2000
    snr: Positive = 0.15
    sigma_min: Positive = 0.01
    sigma_max: Positive = Field(1348.0, validate_default=True)
    sampling_eps: Annotated[float, Field(ge=0, lt=1)] = 1e-5
    correct_steps: Annotated[int, Field(ge=0)] = 1
    tensor_format: Any = None  # of diffusers before 0.3

    @field_validator("sigma_max")
    @classmethod
    def _above(cls, sigma_max: float, info: ValidationInfo) -> float:
        if not sigma_max > info.data.get("sigma_min", 0.0):
            raise ValueError("it must be above sigma_min")
        return sigma_max


def options(unet: UNet) -> dict[str, Any]:
    """Of the network, beside its width and depth."""
    skips = {"progressive": "output_skip", "progressive_input": "input_skip"}
    return {**skips, "embedding": "fourier", "centre_input": unet.center_input_sample}


def alike(unet: UNet, net: NCSNpp) -> dict[str, bool]:
    """Normalisation has our groups: in attention 32, as told in the middle and last, and elsewhere by the published rule."""
    attentions = [level.attention for levels in (*net.down, *net.up) for level in levels if level.attention is not None]
    told = {net.middle2.norm1.groups, net.reads[-1].read.norm.groups}
    return {
        "block_out_channels": all(attention.norm.groups == 32 for attention in attentions),
        "norm_num_groups": unet.norm_num_groups is None or told == {unet.norm_num_groups},
    }


def sections(scheduler: Scheduler) -> dict[str, Any]:
    """The VE-SDE on images in [0, 1], and its published sampler: Langevin and reverse diffusion at each noise level."""
    corrector = {"name": "langevin", "snr": scheduler.snr, "n_steps": scheduler.correct_steps, "norm": "batch"}
    return {
        "sde": {"name": "VESDE", "sigma_min": scheduler.sigma_min, "sigma_max": scheduler.sigma_max},
        "parameterization": "sigma_score",
        "conditioning": {"name": "log_noise", "scale": 1.0},
        "data.range": "unit",  # to which ScoreSdeVePipeline clips, whether or not the network then takes 2 x - 1
        "times": {"name": "uniform", "t_min": 1e-5},
        "samplers.published": {
            "step": {"name": "reverse_diffusion"},
            "corrector": corrector if scheduler.correct_steps else None,
            "grid": {"name": "uniform_grid", "t_min": scheduler.sampling_eps},
            "n": scheduler.num_train_timesteps - 1,
            "denoise": True,
        },
        "sample.sampler": "published",
    }


def layout(net: NCSNpp) -> Layout:
    """Where the parameters of our NCSN++ stand in UNet2DModel's tensors."""
    last = len(net.reads) - 1
    rules = RULES | {
        r"embed": r"time_proj",
        r"up\.(\d+)\.\d+\.attention": r"up_blocks.\1.attentions.0",  # after the last block alone
        r"shrink\.(\d+)": r"down_blocks.\1.resnet_down",
        r"grow\.(\d+)": r"up_blocks.\1.resnet_up",
        r"inputs\.(\d+)\.project": r"down_blocks.\1.skip_conv",
        r"reads\.(\d+)\.read\.norm": r"up_blocks.\1.skip_norm",
        r"reads\.(\d+)\.read\.conv": r"up_blocks.\1.skip_conv",
        rf"reads\.{last}\.read\.norm": r"conv_norm_out",
        rf"reads\.{last}\.read\.conv": r"conv_out",
    }
    return Layout(diffusers.places(net, rules), copies=(r"^time_proj\.W$", "time_proj.weight"))  # both are in older files


KIND = Kind(("ScoreSdeVeScheduler",), UNet, Scheduler, NCSNpp, options, alike, sections, layout)
