"""diffusers' folders of NCSN++ (google/ncsnpp-*): UNet2DModel of Skip blocks as our NCSN++ under the VE-SDE.

They are the published networks of 256 x 256 images and larger: "fourier", progressive="output_skip" and
progressive_input="input_skip". UNet2DModel takes the logarithm of sigma itself, and divides its output by sigma, which makes it
the score. Our network emits sigma times the score.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from experiments.config.schema import Count, Positive
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers_names, diffusers_unet
from experiments.weights.published.diffusers import Fields
from experiments.weights.published.diffusers_names import RULES
from experiments.weights.published.diffusers_unet import FolderKind
from experiments.weights.tensors import MOST
from models.networks.ncsnpp import NCSNpp

Three = Annotated[int, Field(ge=3, le=3)]


class UNet(diffusers_unet.UNet):
    """The fields of a UNet2DModel that is our NCSN++."""

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
    """The fields of ScoreSdeVeScheduler: sigma(t) = sigma_min (sigma_max / sigma_min)^t, and its sampler's settings."""

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
    """Returns the network's options beside width and depth."""
    skips = {"progressive": "output_skip", "progressive_input": "input_skip"}
    return {**skips, "embedding": "fourier", "centre_input": unet.center_input_sample}


def alike(unet: UNet, net: NCSNpp) -> dict[str, bool]:
    """Returns whether the groups agree: 32 in attention, the field's in the middle and last, elsewhere the published rule's."""
    attentions = [level.attention for levels in (*net.down, *net.up) for level in levels if level.attention is not None]
    groups = {net.middle2.norm1.groups, net.reads[-1].read.norm.groups}
    return {
        "block_out_channels": all(attention.norm.groups == 32 for attention in attentions),
        "norm_num_groups": unet.norm_num_groups is None or groups == {unet.norm_num_groups},
    }


def sections(scheduler: Scheduler) -> dict[str, Any]:
    """Returns the sections of the VE-SDE on images in [0, 1] and of its published sampler.

    The sampler takes a step of Langevin and one of reverse diffusion at each noise level.
    """
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
    """Returns the layout of UNet2DModel's tensors for our NCSN++."""
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
    return Layout(diffusers_names.places(net, rules), copies=(r"^time_proj\.W$", "time_proj.weight"))  # both are in older files


KIND = FolderKind(("ScoreSdeVeScheduler",), UNet, Scheduler, NCSNpp, options, alike, sections, layout)
