"""Weights from elsewhere: what is read is what was written, nothing in a file is run, and a run of it goes on as any other."""

import json
import pickle
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import flax.serialization
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from published import draw, outputs_of, relative_error
from runs import drawn
from safetensors.numpy import save_file

from experiments.build.sampler import BoundSampler
from experiments.commands import import_weights
from experiments.commands.exchange import experiment_of
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.config.trust import require_trusted, require_trusted_by
from experiments.main import main
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, StorageError
from experiments.sampling.draw import drawing
from experiments.weights import layout as naming
from experiments.weights import native, tensors
from experiments.weights.layout import Layout, Part, flatten
from experiments.weights.published import diffusers, diffusers_ddpm, diffusers_names, diffusers_unet, layouts, transformers
from experiments.weights.published.checkpoint import select_params
from experiments.weights.tensors import read_safetensors, read_tensors
from models.build import abstract
from models.layers.unet import ResidualBlock, SelfAttention
from models.networks.ddpm import DDPM
from models.networks.dit import DiT
from models.networks.mlp import MLP

ROOT = Path(__file__).parents[3]
UNET = diffusers_unet.UNET_DEFAULTS | {
    **{"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": [128, 128]},
    **{"layers_per_block": 1, "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "attention_head_dim": None},
    **{"up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "norm_eps": 1e-6, "downsample_padding": 0},
    **{"flip_sin_to_cos": False, "freq_shift": 1},
}
SCHEDULER = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "clip_sample": True}
SKIP_UNET = diffusers_unet.UNET_DEFAULTS | {
    **{"_class_name": "UNet2DModel", "sample_size": 8, "block_out_channels": [32, 128], "layers_per_block": 1},
    **{"down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"], "attention_head_dim": None},
    **{"up_block_types": ["AttnSkipUpBlock2D", "SkipUpBlock2D"], "norm_num_groups": None, "norm_eps": 1e-6},
    **{"time_embedding_type": "fourier", "center_input_sample": True, "mid_block_scale_factor": 2**0.5},
}
VE = {"_class_name": "ScoreSdeVeScheduler", "sigma_max": 348.0, "snr": 0.075, "num_train_timesteps": 500}
SHAPE = (8, 8, 1)
OPTIONS = {"width": 128, "multipliers": (1, 1), "blocks": 1, "attention": (4,), "embedding": "positional", "dropout": 0.0}
TINY = {"name": "MLP", "width": 8, "depth": 1}

CONFIG = """
from configs.digits import vp

def get_config():
    config = vp.get_config()
    config.samplers = {"fast": config.samplers.fast}
    config.sample.sampler = "fast"
    return config
"""


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def refusal(path):
    """The lines that say why a file is not read."""
    with pytest.raises(StorageError) as error:
        read_tensors(path)
    lines = str(error.value).splitlines()
    assert len(lines) <= 5
    assert str(path) in lines[0]
    return str(error.value)


# Files


def test_safetensors_of_every_dtype(tmp_path):
    written = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float16), "c": np.ones((1, 2), ml_dtypes.bfloat16)}
    save_file(written, tmp_path / "x")
    found = read_tensors(tmp_path / "x")
    for name, value in written.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_a_truncated_file_and_what_is_none_are_refused(tmp_path):
    save_file({"w": np.ones(100)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-1])
    refusal(tmp_path / "w.safetensors")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", bytes(1000))
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:600])
    refusal(tmp_path / "w.pth")
    for content in (b"", b"\x00", b"hello, world", b"\x93NUMPY"):
        (tmp_path / "x.bin").write_bytes(content)
        refusal(tmp_path / "x.bin")
    refusal(tmp_path / "absent.pth")


def test_a_torch_file_without_torch(tmp_path, monkeypatch):
    (tmp_path / "reader.py").write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(tensors, "READER", tmp_path / "reader.py")
    (tmp_path / "x.pth").write_bytes(pickle.dumps([]))
    assert "pip install onesde[torch]" in refusal(tmp_path / "x.pth")


@pytest.mark.slow
def test_torch_files_by_name_and_in_order(tmp_path):
    torch = pytest.importorskip("torch")
    model = {"module.z.weight": torch.arange(6.0).reshape(2, 3), "module.a.bias": torch.ones(2, dtype=torch.bfloat16)}
    checkpoint = {
        "optimizer": {"lr": 1.0},
        "model": model,
        "ema": {"shadow_params": [torch.zeros(1), torch.ones(2)]},
        "step": 7,
    }
    checkpoint |= {
        "bound": torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "seeds": [2**63 + 5, -(2**63) - 1, 2**63 - 1],
    }
    torch.save(checkpoint, tmp_path / "x.pth")
    found = read_tensors(tmp_path / "x.pth")
    ema = ["ema.shadow_params.0", "ema.shadow_params.1"]
    assert list(found) == ["model.module.z.weight", "model.module.a.bias", *ema, "step", "bound", "seeds.2"]
    np.testing.assert_array_equal(found["bound"], [1, 1])
    np.testing.assert_array_equal(found["model.module.z.weight"], [[0, 1, 2], [3, 4, 5]])
    assert found["step"] == 7


def test_flax_s_msgpack(tmp_path):
    """What score_sde's checkpoints are: a table of tables of arrays."""
    params = {"Conv_0": {"kernel": jnp.arange(4.0).reshape(2, 2), "bias": jnp.ones(2, jnp.bfloat16)}, "scale": np.float32(2)}
    state = {"step": 3, "lr": 2e-4, "params_ema": params, "optimizer": {"target": params}, "model_state": {}, "rng": None}
    (tmp_path / "checkpoint_26").write_bytes(flax.serialization.to_bytes(state))
    found = read_tensors(tmp_path / "checkpoint_26")
    np.testing.assert_array_equal(found["params_ema.Conv_0.kernel"], params["Conv_0"]["kernel"])
    np.testing.assert_array_equal(found["optimizer.target.Conv_0.bias"], params["Conv_0"]["bias"])
    assert (found["step"], found["params_ema.scale"]) == (3, 2)


# Checkpoints of training scripts


def test_the_average_of_score_sde_takes_its_names_from_the_model():
    """A list without the buffers and the fixed frequencies; raw parameters on request; a file of parameters alone as it is."""
    model = {
        "module.sigmas": np.ones(9),
        "module.m.0.W": np.ones(4),
        "module.m.1.weight": np.ones((2, 3)),
        "module.m.1.bias": np.ones(2),
    }
    shadow = {"ema.decay": np.array(0.9), "ema.shadow_params.0": np.full((2, 3), 5.0), "ema.shadow_params.1": np.full(2, 6.0)}
    tensors = {f"model.{name}": value for name, value in model.items()} | shadow
    layout = Layout({"embed": "m.0", "dense1": "m.1"}, ignored="^sigmas$")
    here = Path(__file__)  # not safetensors
    average = select_params(tensors, layout, "ema", here)
    assert {name: value.mean() for name, value in average.items()} == {"sigmas": 1, "m.0.W": 1, "m.1.weight": 5, "m.1.bias": 6}
    assert select_params(tensors, layout, "raw", here)["m.1.bias"].mean() == 1
    alone = {"m.1.weight": np.ones((2, 3))}
    assert select_params(alone, layout, "ema", here) == alone
    with pytest.raises(StorageError, match="--weights=raw"):
        select_params({f"model.{name}": value for name, value in model.items()}, layout, "ema", here)
    with pytest.raises(StorageError, match="2 shadow_params are not the 3 parameters"):
        select_params(tensors | {"model.module.m.2.bias": np.ones(1)}, layout, "ema", here)


def test_the_average_of_score_sde_s_flax_checkpoints():
    tensors = {"step": np.array(1), "params_ema.Conv_0.kernel": np.ones(1), "optimizer.target.Conv_0.kernel": np.zeros(1)}
    layout = Layout({"first": "Conv_0"})
    assert select_params(tensors, layout, "ema", Path(__file__))["Conv_0.kernel"] == 1
    assert select_params(tensors, layout, "raw", Path(__file__))["Conv_0.kernel"] == 0


PREFIXES = {
    "": ("", "module.", "_orig_mod.", "module._orig_mod.", "unet.", "diffusion_model.module.", "online_model."),
    "ema": ("ema_model.", "model.ema.module.", "state_dict.ema_model._orig_mod.", "netEMA.ema.", "ema_0.9999.", "4.module."),
    "raw": ("model.", "module.model.", "state_dict.module._orig_mod.", "state_dict.model.unet.", "0.module.", "net."),
}
"""Prefixes of all tensors of a part, by what they say it is."""
NAMES = ("conv.weight", "block.conv.weight", "block._orig_mod.norm.bias", "positions")
LAYOUT = Layout({"first": "conv", "block.conv1": "block.conv", "block.norm": "block.norm", "positions": "positions"})


def part(prefix, value):
    return {f"{prefix}{name}": np.full(2, value) for name in NAMES}


def values(tensors, weights):
    return {name: value[0] for name, value in select_params(tensors, LAYOUT, weights, Path(__file__)).items()}


@pytest.mark.parametrize(("kind", "prefix"), [(kind, prefix) for kind, prefixes in PREFIXES.items() for prefix in prefixes])
def test_a_prefix_that_all_parameters_share_goes(kind, prefix, capsys):
    """And a line says which. One that says average or raw is taken for that alone, and else the other is offered."""
    other = {"ema": "raw", "raw": "ema"}
    plain = {name.replace("_orig_mod.", ""): 1 for name in NAMES}
    for weights in [kind] if kind else ["ema", "raw"]:
        others = {"step": np.ones(1), "optimizer.conv": np.ones(2)} if prefix.replace("_orig_mod.", "") else {}
        assert values(part(prefix, 1) | others, weights) == plain
        assert prefix.replace("_orig_mod.", "").removesuffix(".") in capsys.readouterr().out
    if kind:
        with pytest.raises(StorageError, match=f"no {other[kind]} parameters; it has .*: --weights={kind}$"):
            values(part(prefix, 1), other[kind])


@pytest.mark.parametrize("average", PREFIXES["ema"])
@pytest.mark.parametrize("raw", [*PREFIXES["raw"], *PREFIXES[""]])
def test_of_two_parts_each_is_found(average, raw):
    tensors = part(raw, 0) | part(average, 1)
    assert set(values(tensors, "ema").values()) == {1}
    assert set(values(tensors, "raw").values()) == {0}


def test_what_is_none_or_many_is_named():
    with pytest.raises(StorageError, match=r"2 parts for ema parameters, ema_0\.9\.\*, ema_1\.\*: save one of them alone"):
        values(part("ema_0.9.", 1) | part("ema_1.", 2), "ema")
    with pytest.raises(StorageError, match=r"none of the layout's names, as block\.conv; it holds vae \(2 tensors\), step"):
        values({"vae.a": np.ones(1), "vae.b": np.ones(1), "step": np.ones(1)}, "ema")


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_a_checkpoint_with_a_config_and_a_layout(ours, tmp_path, monkeypatch, weights):
    """A flax checkpoint by a layout of our own names: the averaged or the raw parameters, as asked."""
    leaves = {path: np.asarray(value) for path, value in flatten(ours[1]).items()}
    tables = {"params_ema": leaves, "optimizer": {"target": {path: value + 1 for path, value in leaves.items()}}, "step": 9}
    (tmp_path / "checkpoint_9").write_bytes(flax.serialization.to_bytes(tables))
    plain = layouts.Published((MLP,), lambda net: Layout({path: path for path in leaves}))
    monkeypatch.setitem(layouts.LAYOUTS, "plain", plain)
    monkeypatch.setattr(import_weights, "read_config", lambda file, overrides, variants: ours[0].config.model_dump())
    line = ["import", str(tmp_path / "checkpoint_9"), str(tmp_path / "run"), "--layout=plain", "--config=ours.py"]
    assert main([*line, f"--weights={weights}"]) == 0
    found = native.read_weights(tmp_path / "run").tensors
    for path, value in leaves.items():
        np.testing.assert_array_equal(found[path], value + (weights == "raw"))


# Our own format


@pytest.fixture(scope="module")
def ours():
    """A tiny experiment on digits, and parameters that are not its initial ones."""
    tree = read_config(str(ROOT / "configs/digits/vp.py"), [])
    samplers = {"fast": tree["samplers"]["fast"] | {"n": 3, "sweep": {}}}
    evaluation = {"n": 8, "seeds": 1, "batch": 8, "likelihood": 8, "bound_times": 2, "noise_levels": 2, "tolerance": 0.1}
    training = {"steps": 2, "batch": 8, "warm_up": 0, "learning_rate": 1e-6}
    sections = {
        "net": TINY,
        "samplers": samplers,
        "evaluate": evaluation,
        "sample": {"sampler": "fast", "n": 8},
        "train": training,
    }
    experiment = experiment_of(tree | sections, SHAPE)
    like = jax.eval_shape(experiment.model.init, jax.random.key(0), jnp.zeros(SHAPE))
    leaves = draw({path: leaf.shape for path, leaf in flatten(like).items()})
    return experiment, native.fit(like, leaves, "drawn")


@pytest.fixture
def written(ours, tmp_path):
    native.write_weights(tmp_path / "ours", ours[0].config, ours[1], SHAPE, step=5, data="abc")
    return tmp_path / "ours"


def test_native_is_what_was_written(ours, written, tmp_path):
    """Through read, through import and through export: the same parameters to the last bit, and the same config."""
    assert main(["import", str(written), str(tmp_path / "run")]) == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "again")]) == 0
    for folder in (written, tmp_path / "run", tmp_path / "again"):
        found = native.read_weights(folder)
        assert Config.model_validate(found.config) == ours[0].config
        assert (found.shape, found.step, found.data) == (SHAPE, 5, "abc")
        assert found.tensors.keys() == flatten(ours[1]).keys()
        for path, value in flatten(ours[1]).items():
            np.testing.assert_array_equal(found.tensors[path], value)
        assert json.loads((folder / "config.json").read_text())["net"]["width"] == 8


def test_parameters_may_stand_in_tuples_and_be_none():
    """As those of a chain of codecs, or of a likelihood of a fixed scale."""
    like = {"flow": ({"scale": jax.ShapeDtypeStruct((2,), jnp.float32)}, ()), "likelihood": ()}
    assert [*naming.flatten(like)] == ["flow.0.scale"]
    found = native.fit(like, {"flow.0.scale": np.ones(2)}, "x")
    assert jax.tree.structure(found) == jax.tree.structure(like)


def test_a_run_from_weights_samples_without_its_data(ours, written, tmp_path, monkeypatch):
    """The shape of an image is in the weights, and the data are not opened."""
    assert main(["import", str(written), str(tmp_path / "run"), "--config.sample.n=8"]) == 0
    monkeypatch.setattr("experiments.commands.opening.open_sources", None)
    assert main(["sample", *there(tmp_path / "run"), "--config.sample.sampler=fast"]) == 0
    assert drawn(tmp_path / "run" / "samples", "fast_seed0").is_file()


@pytest.mark.slow
def test_every_sampler_draws_from_weights(ours, written):
    """Those of configs/base, each for a few steps."""
    state = trained_state(ours[0], written)
    for sampler in Config.model_validate(read_config("configs/digits/vp.py", [])).samplers.values():
        sampler = sampler.model_copy(update={"n": 3, "sweep": {}})
        bound = BoundSampler(ours[0], sampler)
        assert drawing(bound)(state.ema, bound.rows(0, 8), sampler.n).finite.all()


def there(run):
    return f"--config={run}/config.json", f"--workdir={run}"


@pytest.mark.slow
def test_a_run_from_weights_is_fine_tuned(ours, written, tmp_path):
    """Training starts at the weights: steps of 1e-6 leave them within 1e-5. Exporting takes the average of the newest state."""
    assert main(["train", *there(written)]) == 0
    assert main(["export", str(written), str(tmp_path / "tuned")]) == 0
    tuned = native.read_weights(tmp_path / "tuned")
    assert tuned.step == 5 + 2
    assert tuned.data not in (None, "abc")  # digits, on which they were trained here
    apart = [np.abs(tuned.tensors[path] - value).max() for path, value in flatten(ours[1]).items()]
    assert 0 < max(apart) < 1e-5


@pytest.mark.slow
def test_a_run_from_weights_is_evaluated(ours, tmp_path):
    native.write_weights(tmp_path, ours[0].config, ours[1], SHAPE)
    assert main(["evaluate", *there(tmp_path)]) == 0
    (arm,) = json.loads((tmp_path / "report.json").read_text())["arms"]
    assert np.isfinite(arm["bits_per_dim"]["mean"])


def forge(folder, changes=None, tensors=None):
    """The folder's weights with another config, or other tensors."""
    path = folder / native.FILE
    kept, metadata = read_safetensors(path)
    if changes:
        metadata["config"] = json.dumps(json.loads(metadata["config"]) | changes)
    save_file(kept | (tensors or {}), path, metadata)


@pytest.mark.parametrize(
    ("changes", "tensors", "said"),
    [
        ({"nett": 1}, {}, "unknown config key nett (did you mean net?)"),
        ({"seed": -1}, {}, "seed = -1"),
        ({}, {"last.bias": np.full(64, np.nan, np.float32)}, "last.bias"),
        ({}, {"last.bias": np.ones(2, np.float32)}, "last.bias (2,) does not fit our last.bias (64,)"),
        ({}, {"more": np.ones(2, np.float32)}, "tensor more (2,) has no place"),
    ],
)
def test_native_that_is_not_ours_is_refused(written, tmp_path, capsys, changes, tensors, said):
    forge(written, changes, tensors)
    assert main(["import", str(written), str(tmp_path / "run")]) == 5
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("shape = [65535, 65535, 3]", {"shape": [65535, 65535, 3]}),
        ("step = -1", {"step": -1}),
        ("data = 3", {"data": 3}),
        ("sde.n = 100000000000: it is at most 1000000", {"config": {"sde": {"name": "ddpm_table", "n": 10**11}}}),
        ("samplers.../x.", {"config": {"samplers": {"../x": {}}}}),
    ],
)
def test_metadata_that_would_harm_is_refused(written, capsys, said, changes):
    """Before anything of its size is made, or a file by its name."""
    tensors, metadata = read_safetensors(written / native.FILE)
    config = json.loads(metadata["config"]) | changes.get("config", {})
    changed = {key: json.dumps(value) for key, value in (changes | {"config": config}).items()}
    save_file(tensors, written / native.FILE, metadata | changed)
    with pytest.raises(StorageError) as error:
        native.read_weights(written)
    assert said in str(error.value)


def test_no_path_comes_from_weights(ours, tmp_path):
    """Folders and files are of whoever wrote the config."""
    where = {"data": {"data_dir": "/x"}, "evaluate": {"statistics": "/x", "inception": "/x"}}
    tree = ours[0].config.model_dump()
    tree |= {key: tree[key] | paths for key, paths in where.items()}
    native.write_weights(tmp_path / "x", Config.model_validate(tree), ours[1], SHAPE)
    assert Config.model_validate(native.read_weights(tmp_path / "x").config) == ours[0].config


def test_what_weights_are_is_not_overridden(written, tmp_path, capsys):
    """Neither in import nor in export; how they are sampled is."""
    for change in ("parameterization=eps", "sde.name=VESDE", "train.ema=0.5"):
        for command in ("import", "export"):
            assert main([command, str(written), str(tmp_path / "out"), f"--config.{change}"]) == 2
            assert change.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["export", str(written), str(tmp_path / "out"), "--config.sample.seed=4"]) == 0
    assert native.read_weights(tmp_path / "out").config["sample"]["seed"] == 4


@pytest.mark.slow
def test_weights_are_trained_further_as_one_likes(written, monkeypatch, capsys):
    """Until there is a checkpoint, by any `train`, and from the weights, as is said; the rest of the config stays."""
    monkeypatch.setattr("experiments.commands.train.train", lambda *_: SimpleNamespace(step=0))
    assert main(["train", *there(written), "--config.train.batch=16", "--config.train.learning_rate=1e-5"]) == 0
    assert json.loads((written / "config.json").read_text())["train"]["batch"] == 16
    assert main(["train", *there(written), "--config.sigma_data=2.0"]) == 2
    (written / "checkpoints" / "2").mkdir(parents=True)
    assert main(["train", *there(written), "--config.train.batch=8"]) == 2
    assert "train.batch" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_with_labels_is_imported_and_sampled_by_class(tmp_path, capsys):
    """A published DiT of ten classes, by the command line; without a label, and guided, where one says that it learned so."""
    options = {"name": "DiT", "patch": 4, "width": 8, "depth": 1, "heads": 2, "classes": 10}
    config = tmp_path / "config.py"
    config.write_text(CONFIG.replace("    return", f"    config.net = {options}\n    config.sample.n = 8\n    return"))
    net = abstract(partial(DiT, **{k: v for k, v in options.items() if k != "name"}), SHAPE)
    like = nnx.to_pure_dict(nnx.state(net, nnx.Param))
    names = transformers.dit(net).places
    shapes = {}
    for path, leaf in flatten(like).items():
        module, _, name = path.rpartition(".")
        place, last = names[module], {"kernel": ".weight", "bias": ".bias", "table": ".weight"}[name]
        if isinstance(place, naming.Part):  # q, k and v are one
            place, leaf = place.name, jax.ShapeDtypeStruct((*leaf.shape[:-1], 3 * leaf.shape[-1]), leaf.dtype)
        shapes[place + last] = (*leaf.shape[:-3:-1], *leaf.shape[:-2]) if name == "kernel" else leaf.shape
    save_file(draw(shapes), tmp_path / "dit.safetensors")
    run = tmp_path / "run"
    assert main(["import", str(tmp_path / "dit.safetensors"), str(run), "--layout=dit", f"--config={config}"]) == 0
    assert native.read_weights(run).tensors["labels.table"].shape == (11, 8)
    fast = "--config.samplers.fast.n=2", "--config.sample.sampler=fast"
    pictures = []
    for label in (3, 4):
        assert main(["sample", *there(run), *fast, f"--config.sample.label={label}"]) == 0
        pictures.append(drawn(run / "samples", "fast_seed0").read_bytes())
    assert pictures[0] != pictures[1]
    for without in ("--config.sample.label=None", "--config.samplers.fast.guidance=classifier_free"):
        assert main(["sample", *there(run), *fast, without]) == 2
        assert "has learned no score without a label" in capsys.readouterr().err
        assert main(["sample", *there(run), *fast, without, "--config.train.label_dropout=0.1"]) == 0
    few = "--config.train.steps=2", "--config.train.warm_up=1", "--config.train.label_dropout=0.1"
    assert main(["train", *there(run), *fast, *few]) == 0


def test_copies_of_a_tensor_are_what_is_read():
    """diffusers' DiT has one embedder a block, and older NCSN++ two of the frequencies."""
    layout = Layout({"dense": "blocks.0.emb"}, copies=(r"^blocks\.\d+\.emb\.", "blocks.0.emb."))
    like = {"dense": {"bias": jax.ShapeDtypeStruct((2,), jnp.float32)}}
    tensors = {"blocks.0.emb.bias": np.ones(2), "blocks.1.emb.bias": np.ones(2)}
    assert naming.from_published(like, layout, tensors, "x")["dense"]["bias"].sum() == 2
    with pytest.raises(StorageError, match=r"blocks.1.emb.bias is no copy of blocks.0.emb.bias"):
        naming.from_published(like, layout, tensors | {"blocks.1.emb.bias": np.zeros(2)}, "x")


@pytest.mark.parametrize("shape", [(48, 16), (32, 16), (96, 8), (48,), (7,), ()])
def test_tensors_of_a_narrower_network_do_not_fit(shape):
    """Three outputs in one tensor, of which a smaller network has fewer than the config's."""
    layout = Layout({name: Part("qkv", range(32 * i, 32 * (i + 1))) for i, name in enumerate(("query", "key", "value"))})
    like = {name: {"kernel": jax.ShapeDtypeStruct((32, 32), jnp.float32)} for name in ("query", "key", "value")}
    with pytest.raises(StorageError) as caught:
        naming.from_published(like, layout, {"qkv.weight": np.ones(shape)}, "x")
    for name in like:
        assert f"qkv.weight {shape} does not fit our {name}.kernel (32, 32)" in str(caught.value)


def test_a_folder_that_cannot_be_made(written, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    assert main(["export", str(written), str(tmp_path / "file" / "out")]) == 5
    assert "cannot be used" in capsys.readouterr().err
    forge(written, {"net": TINY | {"width": 16}})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["import", str(written), "."]) == 5
    assert (tmp_path / "here.problems.txt").is_file()


def test_a_config_of_data_is_made_tiny(written):
    """As one that is code; and no code of it is run for that."""
    assert read_config(f"{written}/config.json:tiny", [], {"tiny": tiny})["sample"]["n"] == 16
    config = json.loads((written / "config.json").read_text())
    (written / "config.json").write_text(json.dumps(config | {"net": "os:abort"}))
    with pytest.raises(ConfigError, match="os:abort"):
        read_config(f"{written}/config.json:tiny", [], {"tiny": tiny})


def test_trust_is_about_what_is_called(ours):
    """Of any text with a colon, the names of parts alone; in few lines."""
    tree = ours[0].config.model_dump() | {"title": "a: b"}
    assert require_trusted(tree | {"conditioning": {"name": "time", "told": "a:b"}}, [], "x")
    foreign = dict.fromkeys(("sde", "net", "objective", "parameterization"), "os:system")
    foreign |= {"samplers": {"a\nb": {"step": "os:system"}}}
    with pytest.raises(ConfigError) as error:
        require_trusted(tree | foreign, [], "x")
    assert len(str(error.value).splitlines()) == 5
    assert "and 2 more" in str(error.value)
    assert require_trusted(tree | foreign, ["--config.sde.name=os:system"], "x")


def test_the_code_of_a_guide_or_a_base_is_named_under_trust(ours):
    """Unless our own config names it; not by the data itself; and they are evaluated as we are."""
    config, tree = ours[0].config, ours[0].config.model_dump()
    theirs = tree | {"net": "mine:Net", "weight": "mine:w", "evaluate": {"statistics": "anywhere"}, "trust": ""}
    with pytest.raises(ConfigError) as error:
        require_trusted_by(config, theirs, "x")
    *_, way = str(error.value).splitlines()
    assert way == "--config.trust=mine:Net,mine:w"
    vouched = config.model_copy(update={"trust": way.partition("=")[2]})
    assert require_trusted_by(vouched, theirs, "x")["evaluate"] == tree["evaluate"]
    with pytest.raises(ConfigError, match="trust=mine:Net,mine:w,os:system"):
        require_trusted_by(vouched, theirs | {"sde": "os:system"}, "x")
    for check in (lambda data: require_trusted(data, [], "x"), lambda data: require_trusted_by(config, data, "x")):
        with pytest.raises(ConfigError, match="os:system"):
            check(theirs | {"net": "MLP", "weight": None, "trust": "os:system"})


def test_every_misfit_is_named(written, tmp_path, capsys):
    """A few of them on the terminal, all of them in a file beside."""
    forge(written, {"net": TINY | {"width": 16}})
    assert main(["import", str(written), str(tmp_path / "run")]) == 5
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 5
    listed = (tmp_path / "run.problems.txt").read_text()
    assert str(tmp_path / "run.problems.txt") in err
    tensors = native.read_weights(written).tensors
    fits = {"last.bias"}
    assert {path for path in tensors if f"{path} (" in listed} == tensors.keys() - fits


def test_what_import_and_export_are_not_told(written, tmp_path, capsys):
    """Each with its own exit code: 2 for the command line, 5 for files."""
    save_file({"w": np.ones(1)}, tmp_path / "w.safetensors")
    out = str(tmp_path / "out")
    cases = [
        (["import", str(tmp_path / "absent"), out], 5, "no file or folder"),
        (["import", str(tmp_path / "w.safetensors"), out], 2, "--config=FILE"),
        (
            ["import", str(tmp_path / "w.safetensors"), out, "--layout=score", "--config=configs/digits/vp.py"],
            2,
            "--layout=score",
        ),
        (["import", str(written), str(written)], 5, "is there already"),
        (["import", str(tmp_path), out], 5, "holds neither weights.safetensors nor a model of diffusers"),
        (["import", str(tmp_path), out, "--layout=adm", "--config=configs/digits/vp.py"], 5, "name a file of tensors in it"),
        (["import", str(tmp_path / "w.safetensors"), out, "--layout=native"], 5, "its format is None"),
        (["import", str(written), out, "--layout=adm"], 2, "is native, which says that itself: leave out --layout=adm"),
        (["import", str(written), out, "--weights=raw", "--config=x.py"], 2, "--weights=raw and --config=x.py"),
        (
            ["import", str(tmp_path / "w.safetensors"), out, "--layout=adm", "--config=configs/digits/vp.py"],
            2,
            "--layout=adm is of the network ADM",
        ),
        (["export", str(tmp_path), out], 5, "holds no run"),
        (["export", str(written), out, "--layout=tensorflow"], 2, "--layout=tensorflow"),
        (["export", str(written), out, "--layout=diffusers"], 5, "not MLP: take --layout=native"),
    ]
    for line, code, said in cases:
        assert main(line) == code
        err = capsys.readouterr().err
        assert said in err
        assert len(err.splitlines()) <= 5


# diffusers


@pytest.fixture(scope="module")
def unet():
    """Our network at parameters by the rule, and its tensors by their names."""
    net = abstract(partial(DDPM, **OPTIONS), SHAPE)
    graph, state = nnx.split(net)
    like = nnx.to_pure_dict(state)
    layout = diffusers_ddpm.layout(net)
    tensors = draw(diffusers_names.shapes(like, layout))
    params = naming.from_published(like, layout, tensors, "drawn")
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, params))
    return nnx.merge(graph, state), params, tensors


def folder(path, tensors, unet=None, scheduler=None, like=(UNET, SCHEDULER)):
    """A folder of theirs, with changes to one that we can read."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(like[0] | (unet or {})))
    (path / "scheduler_config.json").write_text(json.dumps(like[1] | (scheduler or {})))
    save_file(tensors, path / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    return path


def test_writing_their_tensors_inverts_reading_them(unet):
    net, params, tensors = unet
    again = naming.to_published(params, diffusers_ddpm.layout(net), {name: t.shape for name, t in tensors.items()})
    assert all((again[name] == tensors[name]).all() for name in tensors)


def test_it_is_the_network_of_diffusers(unet):
    """Live: every residual block, every attention and the output, at an index and at another."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    net, _, tensors = unet
    model = theirs.UNet2DModel(**{key: value for key, value in UNET.items() if not key.startswith("_")}).eval()
    model.load_state_dict({name: torch.from_numpy(t) for name, t in tensors.items()})
    seen = []
    for module in model.modules():
        if type(module).__name__ in ("ResnetBlock2D", "Attention"):
            module.register_forward_hook(lambda _, __, out: seen.append(out.numpy().transpose(0, 2, 3, 1)))
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        out = model(torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.tensor([3, 700])).sample.numpy().transpose(0, 2, 3, 1)
    with outputs_of(ResidualBlock, SelfAttention) as blocks:
        got = net(jnp.asarray(x), jnp.array([3.0, 700.0]))
    assert len(blocks) == len(seen) == 12
    assert [relative_error(ours, t) < 1e-5 for ours, t in zip(blocks, seen, strict=True)] == [True] * 12
    assert relative_error(got, out) < 1e-5


@pytest.mark.slow
def test_a_folder_of_theirs_there_and_back(unet, tmp_path):
    """Imported, compiled by torch and with attention by its older names, and exported: the same. diffusers loads it."""
    net, params, tensors = unet
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, value in tensors.items():
        for new, old in older.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[f"_orig_mod.{name}"] = value
    source = folder(tmp_path / "theirs", renamed, scheduler={"prediction_type": "v_prediction", "beta_end": 0.01})
    file = tmp_path / "config.py"
    file.write_text(CONFIG)
    assert main(["import", str(source), str(tmp_path / "run"), f"--config={file}"]) == 0
    config = native.read_weights(tmp_path / "run").config
    table = {"name": "ddpm_table", "n": 1000, "beta_1": 1e-4, "beta_n": 0.01, "power": 1.0}
    assert config["sde"] == table | {"learned": ()}
    assert (config["parameterization"], config["conditioning"], config["scale_input"]) == (
        "v",
        {"name": "index", "n": 1000},
        False,
    )
    assert {key: config["net"][key] for key in OPTIONS} == OPTIONS
    out = tmp_path / "again"
    assert main(["export", str(tmp_path / "run"), str(out), "--layout=diffusers"]) == 0
    again = read_tensors(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert again.keys() == tensors.keys()
    assert all((again[name] == tensors[name]).all() and again[name].shape == tensors[name].shape for name in tensors)
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    pipeline = theirs.DDPMPipeline.from_pretrained(out)
    assert (pipeline.scheduler.config.prediction_type, pipeline.scheduler.config.beta_end) == ("v_prediction", 0.01)
    x = np.random.default_rng(1).standard_normal((1, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        emitted = pipeline.unet(torch.from_numpy(x.transpose(0, 3, 1, 2)), 500).sample.numpy().transpose(0, 2, 3, 1)
    assert relative_error(net(jnp.asarray(x), jnp.array([500.0])), emitted) < 1e-5
    # The score of the run at t = (i + 1)/1000 is what the scheduler makes of the network at its index i.
    experiment = experiment_of(config, SHAPE)
    abar = float(pipeline.scheduler.alphas_cumprod[500])
    eps = abar**0.5 * emitted[0] + (1 - abar) ** 0.5 * x[0]
    assert relative_error(experiment.score(params)(jnp.asarray(x[0]), 0.501), -eps / (1 - abar) ** 0.5) < 1e-5


@pytest.mark.parametrize(
    ("unet_says", "scheduler_says", "said"),
    [
        ({"flip_sin_to_cos": True}, {}, "flip_sin_to_cos = True"),
        ({"freq_shift": 0}, {}, "freq_shift = 0"),
        ({"downsample_padding": 1}, {}, "downsample_padding = 1"),
        ({"norm_eps": 1e-5}, {}, "norm_eps = 1e-05"),
        ({"norm_num_groups": 16}, {}, "norm_num_groups = 16"),
        ({"attention_head_dim": 8}, {}, "attention_head_dim = 8"),
        ({"num_class_embeds": 10}, {}, "num_class_embeds = 10"),
        ({"out_channels": 2}, {}, "out_channels = 2"),
        ({"block_out_channels": [128, 192]}, {}, "block_out_channels = (128, 192)"),
        ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, {}, "up_block_types"),
        ({"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]}, {}, "SkipDownBlock2D"),
        ({"resnet_time_scale_shift": "scale_shift"}, {}, "resnet_time_scale_shift = 'scale_shift'"),
        ({"time_embedding_type": "fourier"}, {}, "time_embedding_type = 'fourier'"),
        ({"sample_size": None}, {}, "sample_size"),
        ({"sample_size": 7}, {}, "sample_size = 7"),
        ({"sample_size": 1048576}, {}, "sample_size = 1048576"),
        ({"layers_per_block": 10**9}, {}, "layers_per_block = 1000000000"),
        ({}, {"num_train_timesteps": 10**11}, "num_train_timesteps = 100000000000"),
        ({"dropout": float("inf")}, {}, "dropout"),
        ({"new_option": 3}, {}, "new_option = 3"),
        ({"center_input_sample": True}, {}, "center_input_sample = True"),
        ({"_class_name": "UNet3DConditionModel"}, {}, "_class_name = 'UNet3DConditionModel'"),
        ({}, {"_class_name": "PNDMScheduler"}, "_class_name = 'PNDMScheduler'"),
        ({}, {"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule = 'squaredcos_cap_v2'"),
        ({}, {"trained_betas": [0.1]}, "trained_betas"),
        ({}, {"variance_type": "learned_range"}, "variance_type = 'learned_range'"),
        ({}, {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr = True"),
    ],
)
def test_what_we_have_no_equal_of_is_named(tmp_path, unet_says, scheduler_says, said):
    """Each field of theirs that would change the network or the noise, with its value."""
    with pytest.raises(StorageError) as error:
        diffusers.read_folder(folder(tmp_path / "x", {"w": np.ones(1, np.float32)}, unet_says, scheduler_says), layouts.KINDS)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("unet_says", "scheduler_says", "said"),
    [
        ({"in_channels": 1, "out_channels": 1}, {}, "in_channels = 1"),
        ({"down_block_types": ["SkipDownBlock2D", "AttnDownBlock2D"]}, {}, "AttnDownBlock2D"),
        ({"up_block_types": ["SkipUpBlock2D", "AttnSkipUpBlock2D"]}, {}, "up_block_types = ('SkipUpBlock2D', 'Attn"),
        ({"block_out_channels": [64, 64], "norm_num_groups": None}, {}, "block_out_channels = (64, 64)"),
        ({"norm_num_groups": 32}, {}, "norm_num_groups = 32"),
        ({"time_embedding_type": "positional"}, {}, "time_embedding_type = 'positional'"),
        ({"mid_block_scale_factor": 1}, {}, "mid_block_scale_factor = 1"),
        ({"attention_head_dim": 8}, {}, "attention_head_dim = 8"),
        ({"norm_eps": 1e-5}, {}, "norm_eps = 1e-05"),
        ({"new_option": [3]}, {}, "new_option = [3]"),
        ({}, {"sigma_min": 400.0}, "sigma_max = 348.0: value error, it must be above sigma_min"),
        ({}, {"snr": 0}, "snr = 0"),
        ({}, {"beta_start": 0.1}, "beta_start = 0.1"),
        ({}, {"_class_name": "ScoreSdeVpScheduler"}, "_class_name = 'ScoreSdeVpScheduler'"),
    ],
)
def test_what_our_ncsnpp_is_no_equal_of_is_named(tmp_path, unet_says, scheduler_says, said):
    """As for DDPM; its scheduler tells an NCSN++."""
    theirs = folder(tmp_path / "x", {"w": np.ones(1, np.float32)}, unet_says, scheduler_says, (SKIP_UNET, VE))
    with pytest.raises(StorageError) as error:
        diffusers.read_folder(theirs, layouts.KINDS)
    assert said in str(error.value)


def test_what_a_folder_of_ncsnpp_says(tmp_path):
    """The VE-SDE, the network and the published sampler; with a config file, how it samples first and trains is the file's."""
    theirs = diffusers.read_folder(folder(tmp_path / "x", {"w": np.ones(1, np.float32)}, like=(SKIP_UNET, VE)), layouts.KINDS)
    assert theirs.shape == (8, 8, 3)
    options = {"progressive": "output_skip", "progressive_input": "input_skip", "embedding": "fourier", "centre_input": True}
    widths = {"width": 32, "multipliers": (1, 4), "blocks": 1, "attention": (4,), "dropout": 0.0}
    assert theirs.sections["net"] == {"name": "NCSNpp"} | widths | options
    (tmp_path / "config.py").write_text(CONFIG)
    for file, overrides in ((None, ["--config.data.name=digits"]), (str(tmp_path / "config.py"), ["--config.seed=7"])):
        tree = import_weights._tree(file, overrides, theirs.sections, tmp_path)
        config = Config.model_validate(tree)
        assert not part_problems(tree)
        assert (config.sde.name, config.sde.options) == ("VESDE", {"sigma_min": 0.01, "sigma_max": 348.0})
        assert (config.data.range, config.parameterization, config.scale_input) == ("unit", "sigma_score", False)
        published = config.samplers["published"]
        assert (published.step.name, published.n, published.denoise) == ("reverse_diffusion", 499, True)
        assert published.corrector.options == {"snr": 0.075, "n_steps": 1, "norm": "batch"}
        assert (config.sample.sampler, config.seed) == (("fast", 7) if file else ("published", 0))


@pytest.mark.slow
def test_a_folder_of_ncsnpp_is_scored_as_by_diffusers_and_sampled(tmp_path):
    """Live: what UNet2DModel emits, its network's output over sigma, is our score at that sigma."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    model = theirs.UNet2DModel(**{key: value for key, value in SKIP_UNET.items() if not key.startswith("_")}).eval()
    tensors = draw({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    model.save_pretrained(tmp_path / "theirs" / "unet")
    options = {key: value for key, value in VE.items() if not key.startswith("_")}
    theirs.ScoreSdeVeScheduler(**options).save_pretrained(tmp_path / "theirs" / "scheduler")
    few = ["--config.samplers.published.n=2", "--config.sample.n=8", "--config.data.name=digits"]
    assert main(["import", str(tmp_path / "theirs"), str(tmp_path / "run"), *few]) == 0
    found = native.read_weights(tmp_path / "run")
    experiment = experiment_of(found.config, found.shape)
    like = jax.eval_shape(experiment.model.init, jax.random.key(0), jnp.zeros(found.shape))
    score = jax.jit(experiment.score(native.fit(like, found.tensors, "imported")))
    x = np.random.default_rng(0).uniform(size=found.shape).astype(np.float32)
    for t in (0.05, 0.4, 0.7, 1.0):
        sigma = np.array(experiment.sde.sigma(t), np.float32)
        with torch.no_grad():
            emitted = model(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()), torch.from_numpy(sigma)).sample[0]
        assert relative_error(score(jnp.asarray(x), t), emitted.numpy().transpose(1, 2, 0)) < 1e-5
    assert main(["sample", *there(tmp_path / "run")]) == 0
    assert drawn(tmp_path / "run" / "samples", "published_seed0").is_file()


def test_their_tensors_that_do_not_fit_are_named(unet, tmp_path):
    _, params, tensors = unet
    wrong = tensors | {"conv_in.weight": np.ones((1, 1), np.float32), "extra.weight": np.ones(3, np.float32)}
    del wrong["conv_out.bias"]
    theirs = diffusers.read_folder(folder(tmp_path / "theirs", wrong), layouts.KINDS)
    with pytest.raises(StorageError) as error:
        naming.from_published(params, theirs.layout, theirs.tensors, "theirs")
    said = ("conv_in.weight (1, 1)", "no tensor conv_out.bias", "tensor extra.weight (3,)")
    assert all(name in str(error.value) for name in said)


def test_what_diffusers_has_no_equal_of_is_not_exported(unet, tmp_path):
    """Ours of another schedule, in another range; nothing is written."""
    net, params, _ = unet
    tree = read_config("configs/digits/vp.py", ["--config.data.range=unit"])
    config = Config.model_validate(tree | {"net": {"name": "DDPM", **OPTIONS, "attention_up": "block"}})
    with pytest.raises(StorageError) as error:
        diffusers_ddpm.write_folder(tmp_path / "out", config, net, params, SHAPE)
    assert all(need in str(error.value) for need in ("sde.name = ddpm_table", "data.range = symmetric"))
    assert "net.attention_up" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_importing_from_diffusers_asks_for_data(unet, tmp_path):
    with pytest.raises(ConfigError, match=r"--config\.data\.name"):
        import_weights.import_run(folder(tmp_path / "theirs", unet[2]), tmp_path / "run", None, None, None, [])


@pytest.mark.slow
def test_the_product_never_imports_torch():
    """In a process of its own, as tests import both."""
    program = "import sys, experiments.main; print(*{'torch', 'experiments.weights.torch_reader'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True).stdout == "\n"
