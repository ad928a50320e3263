"""diffusers' UNet2DConditionModel as our LDMUNet, which scores the codes of a first stage; both ways.

Its text encoder, if it comes with one, is a part of our network: tensors called text_encoder.*.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from experiments.config.options import parameters
from experiments.config.schema import Config, Count
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout
from experiments.weights.published import clip, diffusers, diffusers_names, diffusers_pyramid, diffusers_schedule
from experiments.weights.published.clip import Text
from experiments.weights.published.diffusers import One, Source, Zero
from experiments.weights.published.diffusers_autoencoder import KL
from experiments.weights.published.diffusers_names import ENDS, RULES
from experiments.weights.published.diffusers_pyramid import Blocks, Channels, Pyramid, Widths
from models.networks.ldm_unet import LDMUNet

TEXT = "text_encoder."
DOWN = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
Three = Annotated[int, Field(ge=3, le=3)]


class UNet(Pyramid):
    """The fields of UNet2DConditionModel, with its values for those that its config.json leaves out."""

    in_channels: Channels = 4
    out_channels: Channels = 4
    down_block_types: tuple[Literal["CrossAttnDownBlock2D", "DownBlock2D"], ...] = DOWN
    up_block_types: tuple[Literal["UpBlock2D", "CrossAttnUpBlock2D"], ...] = UP
    block_out_channels: Widths = (320, 640, 1280, 1280)
    layers_per_block: Blocks = 2
    cross_attention_dim: Channels = 1280
    attention_head_dim: Channels | tuple[Channels, ...] = 8
    transformer_layers_per_block: Annotated[int, Field(ge=1, le=100)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    norm_num_groups: Count = 32
    norm_eps: Annotated[float, Field(ge=1e-5, le=1e-5)] = 1e-5
    act_fn: Literal["silu", "swish"] = "silu"
    use_linear_projection: bool = False  # 1x1 convolutions are the same
    upcast_attention: Any = None  # how to compute
    center_input_sample: Literal[False] = False
    flip_sin_to_cos: Literal[True] = True
    freq_shift: Zero = 0
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Count | None = None
    time_embedding_act_fn: None = None
    timestep_post_act: None = None
    time_cond_proj_dim: None = None
    mid_block_type: Literal["UNetMidBlock2DCrossAttn"] = "UNetMidBlock2DCrossAttn"
    mid_block_scale_factor: One = 1
    mid_block_only_cross_attention: Literal[False] | None = None
    downsample_padding: One = 1
    resnet_time_scale_shift: Literal["default"] = "default"
    resnet_skip_time_act: Literal[False] = False
    resnet_out_scale_factor: One = 1
    conv_in_kernel: Three = 3
    conv_out_kernel: Three = 3
    only_cross_attention: Literal[False] = False
    dual_cross_attention: Literal[False] = False
    attention_type: Literal["default"] = "default"
    cross_attention_norm: None = None
    num_attention_heads: None = None
    reverse_transformer_layers_per_block: None = None
    encoder_hid_dim: None = None
    encoder_hid_dim_type: None = None
    class_embed_type: None = None
    class_embeddings_concat: Any = None  # these two are of an embedding that it does not have
    projection_class_embeddings_input_dim: Any = None
    num_class_embeds: None = None
    addition_embed_type: None = None
    addition_embed_type_num_heads: Any = None  # these two, too
    addition_time_embed_dim: Any = None

    @property
    def heads(self) -> dict[str, int]:
        """The option of our attention, if there is one: `attention_head_dim` is a number of heads, of each resolution."""
        widths, of = self.block_out_channels, self.attention_head_dim
        heads = (of,) * len(widths) if isinstance(of, int) else of
        if len(heads) != len(widths):
            return {}
        if len({*heads}) == 1:
            return {"heads": heads[0]}
        channels = {n // k for n, k in zip(widths, heads, strict=True)}
        return {"head_channels": channels.pop()} if len(channels) == 1 else {}


class Scheduler(diffusers_schedule.Scheduler):
    """The fields of PNDMScheduler beside those of DDIMScheduler and DDPMScheduler, which are how to sample, too."""

    skip_prk_steps: Any = None


SCHEDULERS = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")


def read(folder: Path, root: Path, vae: KL | None = None, text: Text | None = None) -> Source:
    """Returns a UNet2DConditionModel as a score of codes, without their codec.

    `vae`: the fields of theirs, which scale its codes; None scales them as Stable Diffusion's. `text`: those of its text
    encoder, whose tensors are to be added.
    """
    path, schedule = root / "config.json", diffusers.scheduler_file(folder)
    diffusers.require_class(schedule, SCHEDULERS)
    scheduler = diffusers.read_fields(schedule, Scheduler)
    unet: UNet = diffusers.read_fields(path, UNet)
    checks = unet.even(unet.in_channels) | {
        "in_channels": unet.in_channels == unet.out_channels,
        "time_embedding_dim": unet.time_embedding_dim in (None, 4 * unet.block_out_channels[0]),
        "attention_head_dim": bool(unet.heads),
        "cross_attention_dim": text is None or text.hidden_size == unet.cross_attention_dim,
    }
    diffusers.require(path, unet, checks)
    shape = (*unet.sides, unet.out_channels)
    options = unet.options | unet.heads | {
        "depth": unet.transformer_layers_per_block,
        "tokens": unet.cross_attention_dim,
        "dropout": unet.dropout,
    }  # fmt: skip
    tokens = {"name": "token_states", "width": unet.cross_attention_dim, "dropout": 0.1}
    if text:
        length, of_text = text.max_position_embeddings, {"vocabulary": text.vocab_size, "text_depth": text.num_hidden_layers}
        options |= of_text | {"length": length}
        tokens = {"name": "token_ids", "length": length, "dropout": 0.1}
    net: Any = diffusers.network(path, LDMUNet, options, shape)
    diffusers.require(path, unet, {"norm_num_groups": diffusers_pyramid.groups(net) == {unet.norm_num_groups}})
    sections = {"net": {"name": "LDMUNet", **options}, "scale_input": False} | diffusers_schedule.sections(scheduler)
    sections |= {"conditions.tokens": tokens} | {f"codec.{key}": value for key, value in (vae or KL()).moments.items()}
    return Source(sections, shape, diffusers.weights_of(root), layout(net), of_codes=True)


def layout(net: LDMUNet) -> Layout:
    """Returns the layout of UNet2DConditionModel; its projections of an image are 1x1 convolutions, or with SD 2 products."""
    rules = RULES | ENDS
    for ours, theirs, block in (
        (r"(down|up)\.(\d+)\.(\d+)\.cross_attention", r"\1_blocks.\2.attentions.\3", r"\4"),
        (r"middle1\.cross_attention", r"mid_block.attentions.0", r"\1"),
    ):
        ours_block, theirs_block = rf"{ours}\.blocks\.(\d+)", f"{theirs}.transformer_blocks.{block}"
        rules |= {
            rf"{ours}\.norm": f"{theirs}.norm",
            rf"{ours}\.first": f"{theirs}.proj_in",
            rf"{ours}\.last": f"{theirs}.proj_out",
            ours_block: theirs_block,
            rf"{ours_block}\.self_attention": f"{theirs_block}.attn1",
            rf"{ours_block}\.cross_attention": f"{theirs_block}.attn2",
            rf"{ours_block}\.feed\.dense1": f"{theirs_block}.ff.net.0.proj",
            rf"{ours_block}\.feed\.dense2": f"{theirs_block}.ff.net.2",
        }
    of_unet = diffusers_names.places(net, rules)
    if net.clip is None:
        return Layout(of_unet)
    of_text = clip.layout(net.clip, f"{TEXT}{clip.PREFIX}")
    return Layout(of_unet | {f"clip.{ours}": theirs for ours, theirs in of_text.places.items()}, of_text.ignored)


def needs(config: Config, net: LDMUNet) -> dict[str, bool]:
    """Returns by words what a run of the network must have to be theirs, and whether it does."""
    z = net.first.kernel.shape[-2]
    option = {name: p.default for name, p in parameters(LDMUNet).items()} | config.net.options
    return diffusers_schedule.needs(config) | {
        "net.embedding = timestep": option["embedding"] == "timestep",
        "net.context above 0": net.context > 0,
        "no labels": net.labels is None,
        "conditions.image = None": not net.image,
        "an objective that learns no variance": net.last.kernel.shape[-1] == z,
        diffusers_pyramid.EVEN_GROUPS: len(diffusers_pyramid.groups(net)) == 1,
    }


def write(folder: Path, config: Config, net: LDMUNet, params: Any) -> None:
    """Writes the network of a run that meets the `needs` to unet/, text_encoder/ if it has one, and scheduler/."""
    option = {name: p.default for name, p in parameters(LDMUNet).items()} | config.net.options
    channels, z = [stage.channels for stage in net.stages], net.last.kernel.shape[-1]
    unet = UNet(
        **diffusers_pyramid.resolutions(net.stages, "DownBlock2D", "UpBlock2D", "CrossAttn"),
        in_channels=z,
        out_channels=z,
        layers_per_block=option["blocks"],
        cross_attention_dim=net.context,
        attention_head_dim=tuple(n // k for n in channels) if (k := option["head_channels"]) else option["heads"],
        transformer_layers_per_block=option["depth"],
        dropout=option["dropout"],
        norm_num_groups=diffusers_pyramid.groups(net).pop(),
    )
    places = layout(net)
    tensors = layouts.to_published(params, places, diffusers_names.shapes(params, places))
    of_text = {name.removeprefix(TEXT): tensor for name, tensor in tensors.items() if name.startswith(TEXT)}
    of_unet = {name: tensor for name, tensor in tensors.items() if not name.startswith(TEXT)}
    diffusers.write_model(folder / "unet", "UNet2DConditionModel", unet.model_dump(exclude_none=True), of_unet)
    if net.clip is not None:
        clip.write_text(folder / "text_encoder", net.clip, of_text)
    sampling = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    scheduler = {"_class_name": "DDIMScheduler", **diffusers_schedule.fields(config), **sampling}
    diffusers.write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
