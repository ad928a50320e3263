"""Latent diffusion from diffusers: first stages, U-Nets with a context, texts and whole pipelines, there and back."""

import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pages import python_blocks
from published import draw, outputs_of, relative_error
from safetensors.numpy import save_file
from source_files import ROOT

import experiments
import samplers
from experiments.build.build import Trained, build
from experiments.commands import import_weights
from experiments.commands.exchange import experiment_of
from experiments.config.schema import CodecConfig, Config
from experiments.main import main
from experiments.runtime.errors import StorageError
from experiments.weights import native
from experiments.weights.layout import from_published
from experiments.weights.published import clip, diffusers, diffusers_autoencoder, diffusers_names, diffusers_pipeline, layouts
from experiments.weights.tensors import read_tensors
from models import LDMUNet
from models.build import abstract
from models.codecs.kl import kl_autoencoder
from models.layers.spatial_transformer import SpatialTransformer, TransformerBlock
from models.layers.unet import ResidualBlock, SelfAttention
from models.networks.clip_text import CLIPTextBlock

pytestmark = pytest.mark.usefixtures("in_root")
DIGITS = "--config.data.name=digits"
STAGES = {
    **{"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 2, "sample_size": 8},
    **{"in_channels": 1, "out_channels": 1, "latent_channels": 4},
    **{"down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]},
    **{"up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"]},
}
UNET = {
    **{"_class_name": "UNet2DConditionModel", "sample_size": 4, "block_out_channels": [128, 128], "layers_per_block": 1},
    **{"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]},
    **{"cross_attention_dim": 64, "attention_head_dim": 4},
}
TEXT = {
    **{"model_type": "clip_text_model", "vocab_size": 20, "max_position_embeddings": 7, "hidden_size": 64},
    **{"intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1},
    **{"bos_token_id": 18, "eos_token_id": 19, "pad_token_id": 19},
}
PNDM = {
    **{"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    **{"num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "clip_sample": False},
}
WIDER = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}
MODELS = {
    "AutoencoderKL": {"_class_name": "AutoencoderKL", **STAGES},
    "VQModel": {"_class_name": "VQModel", "num_vq_embeddings": 16, **STAGES},
    "UNet2DConditionModel": UNET,
}
NOTHING = {"w": np.ones(1, np.float32)}


def folder(path, config, tensors=NOTHING, scheduler=PNDM):
    """A folder of theirs."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "scheduler_config.json").write_text(json.dumps(scheduler))
    save_file(tensors, path / diffusers.WEIGHTS[0], {"format": "pt"})
    return path


def fields(config):
    """The arguments of a class of theirs."""
    return {key: value for key, value in config.items() if not key.startswith(("_", "model_type"))}


def ours(theirs):
    """Our parameters for a model of theirs, by shapes alone."""
    state = lambda net: nnx.to_pure_dict(nnx.state(net, nnx.Param))
    if theirs.of_codes:
        options = {key: value for key, value in theirs.sections["net"].items() if key != "name"}
        return state(abstract(partial(LDMUNet, **options), theirs.shape))
    codec = CodecConfig.model_validate(theirs.sections["codec"])
    nets = diffusers_autoencoder.networks(codec, theirs.shape)
    params = {side: state(net) for side, net in nets._asdict().items()}
    if codes := codec.by.options.get("codes"):
        params["codebook"] = jax.ShapeDtypeStruct((codes, *nets.decoder.first.kernel.shape[-2:-1]), jnp.float32)
    return params


# First stages


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AutoencoderKL", "VQModel"])
def test_a_first_stage_there_and_back(tmp_path, name):
    """It is imported as a run of a codec, with attention by its older names, which samples, and is exported as it came."""
    theirs = diffusers.read_folder(folder(tmp_path / "empty", MODELS[name]), layouts.KINDS)
    tensors = draw(diffusers_names.shapes(ours(theirs), theirs.layout))
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for place, tensor in tensors.items():
        for new, old in older.items():
            place = place.replace(f".{new}.", f".{old}.")
        renamed[place] = tensor
    assert renamed.keys() != tensors.keys()
    source, run, again = folder(tmp_path / "theirs", MODELS[name], renamed), tmp_path / "run", tmp_path / "again"
    assert main(["import", str(source), str(run), DIGITS, "--config.sample.n=8"]) == 0
    config = native.read_weights(run).config
    assert (config["net"], config["objective"]["name"]) == ({"name": "Zero"}, "rate_distortion")
    assert main(["sample", f"--config={run}/config.json", f"--workdir={run}", "--config.samplers.fast.n=2"]) == 0
    assert main(["export", str(run), str(again), "--layout=diffusers"]) == 0
    written = read_tensors(again / diffusers.WEIGHTS[0])
    assert written.keys() == tensors.keys()
    assert all(np.array_equal(written[place], tensors[place]) for place in tensors)
    says = json.loads((again / "config.json").read_text())
    assert {key: says[key] for key in MODELS[name]} == MODELS[name]


def test_a_tensor_of_a_first_stage_without_a_place_is_named(tmp_path):
    theirs = diffusers.read_folder(folder(tmp_path / "theirs", MODELS["AutoencoderKL"]), layouts.KINDS)
    like = {"encoder": {"quant": {"bias": jax.ShapeDtypeStruct((8,), jnp.float32)}}}
    with pytest.raises(StorageError) as error:
        from_published(like, theirs.layout, {"quant_conv.bias": np.ones(4), "loss.logvar": np.ones(1)}, "theirs")
    said = ("quant_conv.bias (4,) does not fit our encoder.quant.bias (8,)", "tensor loss.logvar (1,) has no place")
    assert all(line in str(error.value) for line in said)


class Map(nnx.Module):
    """The map of channels of a first stage, and nothing else."""

    def __init__(self, shape, channels, *, rngs):
        self.quant = nnx.Linear(shape[-1], channels, rngs=rngs)

    def __call__(self, x, *_):
        return self.quant(x)


def test_codes_are_standardised_by_the_weights_of_their_codec():
    """As by an affine codec after it, there and back; the mean and the standard deviation are of each channel, or of all."""
    codec = kl_autoencoder(partial(Map, channels=4), partial(Map, channels=3), scale=1.0)
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (4, 4, 3))
    params = codec.init(key, x)
    params["decoder"]["quant"]["bias"] += 0.3
    for mean, std in (((0.7, -2.0), (0.5, 3.0)), ((0.7,), (3.0,))):
        other = diffusers_autoencoder.standardised(params, mean, std)
        z, again = (codec.encode(each, key, x)[0] for each in (params, other))
        np.testing.assert_allclose(again, (z - jnp.array(mean)) / jnp.array(std), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(codec.decode(other, None, again), codec.decode(params, None, z), rtol=1e-5, atol=1e-6)


REFUSED = {
    "AutoencoderKL": [
        ({"out_channels": 3}, "out_channels = 3"),
        ({"norm_num_groups": 4}, "norm_num_groups = 4"),
        ({"block_out_channels": [8, 12]}, "block_out_channels = (8, 12)"),
        ({"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}, "up_block_types"),
        ({"down_block_types": ["DownBlock2D", "AttnDownEncoderBlock2D"]}, "DownBlock2D"),
        ({"sample_size": 7}, "sample_size = 7"),
        ({"act_fn": "gelu"}, "act_fn = 'gelu'"),
        ({"new_option": 3}, "new_option = 3"),
    ],
    "VQModel": [
        ({"vq_embed_dim": 8}, "vq_embed_dim = 8"),
        ({"norm_type": "spatial"}, "norm_type = 'spatial'"),
        ({"num_vq_embeddings": 10**9}, "num_vq_embeddings = 1000000000"),
    ],
    "UNet2DConditionModel": [
        ({"in_channels": 3}, "in_channels = 3"),
        ({"in_channels": 9}, "in_channels = 9"),
        ({"norm_num_groups": 16}, "norm_num_groups = 16"),
        ({"attention_head_dim": 3}, "3 heads of 42 channels"),
        ({"attention_head_dim": [2, 4]}, "attention_head_dim = (2, 4)"),
        ({"cross_attention_dim": [64, 64]}, "cross_attention_dim"),
        ({"transformer_layers_per_block": [1, 2]}, "transformer_layers_per_block"),
        ({"addition_embed_type": "text_time"}, "addition_embed_type = 'text_time'"),
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ({"flip_sin_to_cos": False}, "flip_sin_to_cos = False"),
        ({"only_cross_attention": True}, "only_cross_attention = True"),
        ({"encoder_hid_dim": 64}, "encoder_hid_dim = 64"),
        ({"mid_block_type": "UNetMidBlock2D"}, "mid_block_type = 'UNetMidBlock2D'"),
        ({"block_out_channels": [127, 127]}, "even width"),
    ],
}


@pytest.mark.parametrize(("name", "says", "said"), [(name, *case) for name, cases in REFUSED.items() for case in cases])
def test_what_we_have_no_equal_of_is_named(tmp_path, name, says, said):
    with pytest.raises(StorageError) as error:
        diffusers.read_folder(folder(tmp_path / "x", MODELS[name] | says), layouts.KINDS)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "_class_name = 'FlowMatchEulerDiscreteScheduler'"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule = 'squaredcos_cap_v2'"),
        ({"solver_order": 2}, "solver_order = 2"),
    ],
)
def test_a_scheduler_of_other_noise_is_named(tmp_path, says, said):
    with pytest.raises(StorageError) as error:
        diffusers.read_folder(folder(tmp_path / "x", UNET, scheduler=PNDM | says), layouts.KINDS)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"num_attention_heads": 2}, "num_attention_heads = 2"),
        ({"intermediate_size": 128}, "intermediate_size = 128"),
        ({"model_type": "bert"}, "model_type = 'bert'"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps = 1e-06"),
    ],
)
def test_another_text_encoder_is_named(tmp_path, says, said):
    with pytest.raises(StorageError) as error:
        clip.read_text(folder(tmp_path / "x", TEXT | says))
    assert said in str(error.value)


def test_a_score_of_codes_asks_whose(tmp_path, capsys):
    source = folder(tmp_path / "theirs", UNET)
    assert main(["import", str(source), str(tmp_path / "run"), DIGITS]) == 2
    assert "--config.codec.run=RUN" in capsys.readouterr().err
    assert main(["import", str(source), str(tmp_path / "run"), DIGITS, f"--config.codec.run={tmp_path}"]) == 5
    assert "holds no run that knows the shape" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# Pipelines

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "vae": ["diffusers", "AutoencoderKL"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}
SD1 = {  # the files of Stable Diffusion 1.4, but for fields that have no part in shapes
    "vae": {
        **{"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2},
        **{"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "sample_size": 512},
    },
    "unet": {"_class_name": "UNet2DConditionModel", "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "text_encoder": {
        **{"model_type": "clip_text_model", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    },
}
PUBLISHED = {
    "vae": (248, 83_653_863),
    "unet": (686, 859_520_964),
    "text_encoder": (196, 123_060_480),
}
"""The numbers of tensors and of parameters in the files."""
SHAPES = {
    "vae": {
        "quant_conv.weight": (8, 8, 1, 1),
        "post_quant_conv.bias": (4,),
        "encoder.conv_out.weight": (8, 512, 3, 3),
        "encoder.down_blocks.2.resnets.0.conv_shortcut.weight": (512, 256, 1, 1),
        "encoder.down_blocks.2.downsamplers.0.conv.weight": (512, 512, 3, 3),
        "decoder.mid_block.attentions.0.to_out.0.weight": (512, 512),
        "decoder.up_blocks.2.resnets.0.conv_shortcut.weight": (256, 512, 1, 1),
        "decoder.up_blocks.3.resnets.2.norm2.weight": (128,),
        "decoder.conv_norm_out.bias": (128,),
    },
    "unet": {
        "conv_in.weight": (320, 4, 3, 3),
        "time_embedding.linear_1.weight": (1280, 320),
        "down_blocks.0.attentions.1.proj_in.weight": (320, 320, 1, 1),
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 768),
        "down_blocks.2.downsamplers.0.conv.bias": (1280,),
        "down_blocks.3.resnets.1.time_emb_proj.weight": (1280, 1280),
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight": (10240, 1280),
        "mid_block.resnets.1.conv2.bias": (1280,),
        "up_blocks.1.resnets.2.conv1.weight": (1280, 1920, 3, 3),
        "up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_out.0.bias": (320,),
        "up_blocks.3.resnets.0.conv_shortcut.weight": (320, 960, 1, 1),
        "conv_out.weight": (4, 320, 3, 3),
    },
    "text_encoder": {
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.embeddings.position_embedding.weight": (77, 768),
        "text_model.encoder.layers.11.self_attn.out_proj.bias": (768,),
        "text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768),
        "text_model.final_layer_norm.weight": (768,),
    },
}
"""Some of their tensors, of every kind."""


def pipeline(path, index=INDEX, scheduler=PNDM, **parts):
    """A folder of a whole pipeline."""
    path.mkdir()
    (path / "model_index.json").write_text(json.dumps(index))
    for part, config in parts.items():
        folder(path / part, config)
    save_file(NOTHING, path / "text_encoder" / clip.WEIGHTS[0])
    (path / "scheduler").mkdir()
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return path


@pytest.mark.slow
def test_stable_diffusion_1_has_its_published_tensors(tmp_path):
    """By shapes alone: how many there are, and some of them."""
    theirs = diffusers_pipeline.read(pipeline(tmp_path / "sd", **SD1))
    assert (theirs.vae.shape, theirs.unet.shape) == ((512, 512, 3), (64, 64, 4))
    assert theirs.unet.sections["codec.std"] == pytest.approx([1 / 0.18215])
    of_net = diffusers_names.shapes(ours(theirs.unet), theirs.unet.layout)
    shapes = {
        "vae": diffusers_names.shapes(ours(theirs.vae), theirs.vae.layout),
        "unet": {name: shape for name, shape in of_net.items() if not name.startswith("text_encoder.")},
        "text_encoder": {name[13:]: shape for name, shape in of_net.items() if name.startswith("text_encoder.")},
    }
    for part, published in PUBLISHED.items():
        assert (len(shapes[part]), sum(map(np.prod, shapes[part].values()))) == published
        assert {name: shapes[part].get(name) for name in SHAPES[part]} == SHAPES[part]


@pytest.mark.slow
def test_stable_diffusion_1_has_every_tensor_of_diffusers(tmp_path):
    """Live, without their memory: each name and shape of the real classes has its place, and no place of ours is empty."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        models = {
            "vae.": theirs.AutoencoderKL(**fields(SD1["vae"])),
            "unet.": theirs.UNet2DConditionModel(**fields(SD1["unet"])),
            "text_encoder.": transformers.CLIPTextModel(transformers.CLIPTextConfig(**fields(SD1["text_encoder"]))),
        }
    zeros = lambda tensor: np.broadcast_to(np.float32(0), tensor.shape)
    vae, unet, text = ({name: zeros(t) for name, t in model.state_dict().items()} for model in models.values())
    prefix = {True: "text_encoder.", False: "text_encoder.text_model."}  # version 5 of transformers leaves out the second word
    text = {prefix[name.startswith("text_model.")] + name: tensor for name, tensor in text.items()}
    read = diffusers_pipeline.read(pipeline(tmp_path / "sd", **SD1))
    from_published(ours(read.vae), read.vae.layout, vae, "vae")
    from_published(ours(read.unet), read.unet.layout, unet | text, "unet")


@pytest.mark.slow
def test_stable_diffusion_1_is_two_sound_runs(tmp_path):
    """By shapes alone: all that their configs name is built and tried as that of any run."""
    theirs = diffusers_pipeline.read(pipeline(tmp_path / "sd", **SD1))
    vae = experiment_of(import_weights._tree(None, [DIGITS], theirs.vae.sections, tmp_path), theirs.vae.shape)
    codec = Trained(vae.codec, (jax.eval_shape(vae.initial, jax.random.key(0)),))
    tree = import_weights._tree(None, [DIGITS], theirs.unet.sections | {"codec.run": "RUN"}, tmp_path)
    unet = build(Config.model_validate(tree), theirs.vae.shape, trained=codec)
    assert (vae.code_shape, unet.code_shape) == ((64, 64, 4), (64, 64, 4))
    params = jax.tree.leaves(jax.eval_shape(unet.initial, jax.random.key(0)))
    assert sum(leaf.size for leaf in params) == PUBLISHED["unet"][1] + PUBLISHED["text_encoder"][1]


@pytest.mark.parametrize(
    ("index", "part", "says", "said"),
    [
        ({"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "", {}, "text_encoder_2 = 'CLIPTextModelWith"),
        ({"controlnet": ["diffusers", "ControlNetModel"]}, "", {}, "controlnet = 'ControlNetModel'"),
        ({"vae": ["diffusers", "AutoencoderTiny"]}, "", {}, "vae = 'AutoencoderTiny'"),
        ({"unet": [None, None]}, "", {}, "unet: it is absent"),
        ({}, "vae", {"latent_channels": 3}, "latent_channels = 3"),
        ({}, "vae", {"_class_name": "VQModel"}, "_class_name = 'VQModel': it must be AutoencoderKL"),
        ({}, "unet", {"_class_name": "UNet3DConditionModel"}, "_class_name = 'UNet3DConditionModel'"),
        (
            {},
            "text_encoder",
            {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512},
            "cross_attention_dim = 64",
        ),
    ],
)
def test_a_part_that_we_have_no_equal_of_is_named(tmp_path, index, part, says, said):
    parts = {"vae": MODELS["AutoencoderKL"], "unet": UNET, "text_encoder": TEXT}
    parts |= {part: parts[part] | says} if part else {}
    with pytest.raises(StorageError) as error:
        diffusers_pipeline.read(pipeline(tmp_path / "x", INDEX | index, **parts))
    assert said in str(error.value)


@pytest.mark.slow
def test_of_a_pipeline_that_does_not_fit_nothing_is_left(tmp_path, capsys):
    source = pipeline(tmp_path / "x", vae=MODELS["AutoencoderKL"], unet=UNET, text_encoder=TEXT)
    assert main(["import", str(source), str(tmp_path / "run"), DIGITS]) == 5
    assert "no tensor encoder.conv_in" in capsys.readouterr().err + (tmp_path / "run.problems.txt").read_text()
    assert not (tmp_path / "run").exists()


# Beside diffusers


@pytest.fixture(scope="module")
def theirs():
    """A whole pipeline of theirs, tiny and at the rule's parameters."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    models = {
        "vae": diffusers.AutoencoderKL(**fields(MODELS["AutoencoderKL"])),
        "unet": diffusers.UNet2DConditionModel(**fields(UNET)),
        "text_encoder": transformers.CLIPTextModel(transformers.CLIPTextConfig(**fields(TEXT))),
    }
    for model in models.values():
        state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}
        rule = draw({name: tuple(tensor.shape) for name, tensor in state.items()})
        model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in rule.items()}, strict=False)
        model.eval()
    noise = fields(PNDM) | {"clip_sample": False}
    del noise["skip_prk_steps"]
    whole = {**models, "tokenizer": None, "scheduler": diffusers.DDIMScheduler(**noise), "safety_checker": None}
    return diffusers.StableDiffusionPipeline(**whole, feature_extractor=None, requires_safety_checker=False)


@pytest.fixture(scope="module")
def runs(theirs, tmp_path_factory):
    """The folder of the two runs that it is imported as."""
    source = tmp_path_factory.mktemp("latent")
    theirs.save_pretrained(source / "theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["import", str(source / "theirs"), str(source / "ours"), DIGITS]) == 0
    return source / "ours"


IDS = np.array([18, 3, 7, 19, 19, 19, 19])
EMPTY = np.array([18, 19, 19, 19, 19, 19, 19])
"""A text of two words, and one of none: the last two of the vocabulary begin it and end it."""


def pixels_last(value):
    """The output of a module of theirs as ours are: the channels last."""
    value = getattr(value, "sample", value)
    value = (value[0] if isinstance(value, tuple) else value).detach().numpy()
    return np.moveaxis(value, 1, -1) if value.ndim == 4 else value


def outputs_of_theirs(model, *names):
    """A list that fills with the outputs of the model's modules of classes of these names."""
    seen = []
    for module in model.modules():
        if type(module).__name__ in names:
            module.register_forward_hook(lambda _, __, out: seen.append(pixels_last(out)))
    return seen


def agree(ours, theirs, n):
    """Both are n outputs, one by one the same."""
    assert len(ours) == len(theirs) == n
    assert max(relative_error(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-5


@pytest.mark.slow
def test_the_first_stage_is_theirs_layer_by_layer(theirs, runs):
    torch = pytest.importorskip("torch")
    run = experiments.open_run(runs / "vae")
    seen = outputs_of_theirs(theirs.vae, "ResnetBlock2D", "Attention")
    x = np.random.default_rng(0).standard_normal((8, 8, 1)).astype(np.float32)
    with outputs_of(ResidualBlock, SelfAttention) as blocks:
        z, _ = run.experiment.encode(run.params, jax.random.key(0), jnp.array(x))
    with torch.no_grad():
        posterior = theirs.vae.encode(torch.from_numpy(np.moveaxis(x, -1, 0)[None].copy())).latent_dist
        x_hat = theirs.vae.decode(torch.from_numpy(np.moveaxis(np.array(z), -1, 0)[None].copy())).sample
    agree(blocks, seen, 15)
    mean, std = (pixels_last(moment)[0] for moment in (posterior.mean, posterior.std))
    draws = jax.vmap(lambda key: run.experiment.encode(run.params, key, jnp.array(x))[0])(
        jax.random.split(jax.random.key(1), 500)
    )
    np.testing.assert_allclose((draws - mean).mean(0) / std, 0, atol=0.25)
    np.testing.assert_allclose(draws.std(0) / std, 1, atol=0.2)
    assert relative_error(run.experiment.decode(run.params, z), pixels_last(x_hat)[0]) < 1e-5


@pytest.mark.slow
def test_the_network_and_its_text_are_theirs_layer_by_layer(theirs, runs):
    """At an index of the schedule, for a text and for the empty one, which is none."""
    torch = pytest.importorskip("torch")
    run = experiments.open_run(runs / "unet")
    of_text = outputs_of_theirs(theirs.text_encoder, "CLIPEncoderLayer")
    of_unet = outputs_of_theirs(theirs.unet, "ResnetBlock2D", "BasicTransformerBlock", "Transformer2DModel")
    z, t = np.random.default_rng(1).standard_normal((4, 4, 4)).astype(np.float32), 0.501
    for ids, y in ((IDS, {"tokens": IDS}), (EMPTY, None)):
        of_text.clear(), of_unet.clear()
        with outputs_of(CLIPTextBlock, ResidualBlock, TransformerBlock, SpatialTransformer) as blocks:
            score = run.score(jnp.array(z), t, y)
        with torch.no_grad():
            states = theirs.text_encoder(torch.from_numpy(ids[None])).last_hidden_state
            eps = theirs.unet(torch.from_numpy(np.moveaxis(z, -1, 0)[None].copy()), 500, states).sample
        agree(blocks, of_text + of_unet, 2 + 16)
        assert relative_error(-run.sde.sigma(t) * score, pixels_last(eps)[0]) < 1e-5


def images(run, z):
    """The image of codes in [0, 1]."""
    return np.clip(np.array(run.experiment.decode(run.params, z)) / 2 + 0.5, 0, 1)


def guided(run, w):
    """The score of the text, guided away from the empty one."""
    return samplers.classifier_free(partial(run.score, y={"tokens": IDS}), run.score, w)


@pytest.mark.slow
def test_txt2img_is_theirs(theirs, runs):
    """Four steps of DDIM with guidance from one noise to one image."""
    torch = pytest.importorskip("torch")
    run, n = experiments.open_run(runs / "unet"), 4
    noise = np.random.default_rng(2).standard_normal((4, 4, 4)).astype(np.float32)
    with torch.no_grad():
        text, empty = (theirs.text_encoder(torch.from_numpy(ids[None])).last_hidden_state for ids in (IDS, EMPTY))
        (image,) = theirs(
            prompt_embeds=text, negative_prompt_embeds=empty, guidance_scale=7.5, num_inference_steps=n, output_type="np",
            latents=torch.from_numpy(np.moveaxis(noise, -1, 0)[None].copy()), height=8, width=8,
        ).images  # fmt: skip
    grid = jnp.array([*(theirs.scheduler.timesteps.numpy() + 1) / 1000, 0.001])
    step = samplers.ddim(run.sde, guided(run, 7.5))
    z = jax.jit(lambda x: samplers.solve(jax.random.key(0), step, x, grid).x)(jnp.array(noise))
    assert image.std() > 0.05
    np.testing.assert_allclose(images(run, z), image, atol=1e-3)


@pytest.mark.slow
def test_img2img_is_theirs(theirs, runs):
    """From half of the way to noise: the same noise on the same code, and back."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    run, n = experiments.open_run(runs / "unet"), 4
    code = np.random.default_rng(3).standard_normal((4, 4, 4)).astype(np.float32)
    channels_first = torch.from_numpy(np.moveaxis(code, -1, 0)[None].copy())
    whole = {name: part for name, part in theirs.components.items() if name != "image_encoder"}
    other = diffusers.StableDiffusionImg2ImgPipeline(**whole, requires_safety_checker=False)
    with torch.no_grad():
        text, empty = (theirs.text_encoder(torch.from_numpy(ids[None])).last_hidden_state for ids in (IDS, EMPTY))
        (image,) = other(
            prompt_embeds=text, negative_prompt_embeds=empty, guidance_scale=7.5, num_inference_steps=n, output_type="np",
            image=channels_first, strength=0.5, generator=torch.Generator().manual_seed(0),
        ).images  # fmt: skip
    noise = torch.randn(channels_first.shape, generator=torch.Generator().manual_seed(0)).numpy()
    grid = jnp.array([*(other.scheduler.timesteps.numpy()[n // 2 :] + 1) / 1000, 0.001])
    x = run.sde.alpha(grid[0]) * code + run.sde.sigma(grid[0]) * np.moveaxis(noise, 1, -1)[0]
    step = samplers.ddim(run.sde, guided(run, 7.5))
    z = jax.jit(lambda x: samplers.solve(jax.random.key(0), step, x, grid).x)(jnp.array(x))
    np.testing.assert_allclose(images(run, z), image, atol=1e-3)


@pytest.mark.slow
def test_a_pipeline_goes_back_as_it_came(theirs, runs, tmp_path):
    """What is exported is loaded by diffusers, with the tensors and the fields of before."""
    diffusers = pytest.importorskip("diffusers")
    assert main(["export", str(runs / "unet"), str(tmp_path / "again"), "--layout=diffusers"]) == 0
    again = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "again", tokenizer=None)
    for part in ("vae", "unet", "text_encoder"):
        before, after = (getattr(whole, part).state_dict() for whole in (theirs, again))
        assert before.keys() == after.keys()
        assert all(before[name].equal(after[name]) for name in before)
    assert again.vae.config.scaling_factor == pytest.approx(0.18215)
    assert again.unet.config.attention_head_dim == 4
    for key in ("beta_start", "beta_end", "beta_schedule", "steps_offset", "set_alpha_to_one", "clip_sample"):
        assert again.scheduler.config[key] == PNDM[key]


@pytest.mark.slow
def test_a_run_of_a_pipeline_is_sampled(runs, tmp_path):
    """Without a text it is that of the empty one."""
    run = shutil.copytree(runs / "unet", tmp_path / "unet")
    few = ("--config.samplers={'few': {'step': 'ddim', 'grid': 'uniform_grid', 'n': 2}}", "--config.sample.sampler=few")
    assert main(["sample", f"--config={run}/config.json", f"--workdir={run}", *few, "--config.sample.n=4"]) == 0


@pytest.mark.slow
def test_the_page_draws_and_edits_as_a_text_says(runs):
    """Its functions, for the text and for the empty one."""
    page, run = {}, experiments.open_run(runs / "unet")
    (code,) = python_blocks(ROOT / "docs" / "weights.md")
    exec(code, page)
    draws = [page["txt2img"](run, 0, ids, steps=2).levels[0] for ids in (IDS, EMPTY)]
    edits = [page["img2img"](run, jax.random.key(0), draws[0], ids, steps=2) for ids in (IDS, EMPTY)]
    for one, other in (draws, edits):
        assert one.shape == (8, 8, 1)
        assert (one != other).any()


@pytest.mark.slow
def test_a_unet_alone_is_imported_for_a_codec_of_the_user_s(runs, tmp_path):
    """With heads of 64 channels and projections that are products, as Stable Diffusion 2's, and states of five tokens."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    says = {"block_out_channels": [128, 256], "attention_head_dim": [2, 4], "use_linear_projection": True}
    model = theirs.UNet2DConditionModel(**fields(UNET) | says).eval()
    rule = draw({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in rule.items()})
    model.save_pretrained(tmp_path / "theirs" / "unet")
    theirs.DDPMScheduler(beta_schedule="scaled_linear").save_pretrained(tmp_path / "theirs" / "scheduler")
    of = (f"--config.codec.run={runs / 'vae'}", "--config.conditions.tokens.length=5")
    assert main(["import", str(tmp_path / "theirs"), str(tmp_path / "run"), DIGITS, *of]) == 0
    run = experiments.open_run(tmp_path / "run")
    rng = np.random.default_rng(4)
    z, states = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 4, 4), (5, 64)))
    with torch.no_grad():
        eps = model(torch.from_numpy(np.moveaxis(z, -1, 0)[None].copy()), 500, torch.from_numpy(states[None])).sample
    assert (
        relative_error(-run.sde.sigma(0.501) * run.score(jnp.array(z), 0.501, {"tokens": states}), pixels_last(eps)[0]) < 1e-5
    )


def test_what_a_pipeline_has_no_equal_of_is_not_exported(tmp_path):
    """A codec of another kind, and none."""
    net = abstract(partial(LDMUNet, width=128, multipliers=(1, 1), blocks=1, attention=(4,), context=64, heads=2), (4, 4, 4))
    tree = import_weights._tree(None, [DIGITS], {"net": {"name": "LDMUNet"}, "sde": {"name": "ddpm_table"}}, tmp_path)
    config = Config.model_validate(tree)
    with pytest.raises(StorageError) as error:
        diffusers_pipeline.write(tmp_path / "out", config, net, {}, (8, 8, 1), None)
    needs = ("conditioning = index", "codec.run of a kl_autoencoder")
    assert all(need in str(error.value) for need in needs)
    assert "sde.name" not in str(error.value)
    with pytest.raises(StorageError, match="kl_autoencoder or vq_autoencoder"):
        diffusers_autoencoder.write_folder(tmp_path / "out", config, {}, (8, 8, 1))
    assert not (tmp_path / "out").exists()
