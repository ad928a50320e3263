"""LoRA against what it is: W + s A B of every kernel, its gradient by the chain rule, and a run that trains no more."""

import json
import shutil
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import DIGITS, TINY, content, seal
from slow import slow_for
from user_parts import Net

import models
from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state, placement
from experiments.config.reading import read_config
from experiments.config.schema import Config, Data
from experiments.data.dataset import Batch, load
from experiments.data.sources import open_sources
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runs.lora_base import with_base
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, DataError
from experiments.training.step import make_call
from experiments.weights import native
from experiments.weights.layout import flatten
from models.functional import functional
from sde_lib import VPSDE

pytestmark = pytest.mark.usefixtures("in_root")

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
UNET = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (2,)}
FAMILIES = {
    "DDPM": partial(models.DDPM, **UNET | {"multipliers": (1,), "attention": (4,)}),
    "NCSNpp": partial(models.NCSNpp, **UNET),
    "ADM": partial(models.ADM, **UNET, heads=2, head_channels=None),
    "EDMUNet": partial(models.EDMUNet, **UNET),
    "LDMUNet": partial(models.LDMUNet, **UNET, heads=2, context=4),
    "NCSN": partial(models.NCSN, width=4),
    "NCSNv2": partial(models.NCSNv2, width=4),
    "DiT": partial(models.DiT, width=8, depth=1, heads=2),
    "UViT": partial(models.UViT, width=8, depth=3, heads=2),
    "MLP": partial(models.MLP, width=8, depth=2),
    "linen": Net(),
}
ATTENDS = ("DDPM", "NCSNpp", "ADM", "EDMUNet", "LDMUNet", "DiT", "UViT")
SECONDS = ("NCSNpp", "ADM", "EDMUNet", "LDMUNet", "NCSN", "NCSNv2")
"""They take several each to compile."""
each = pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SECONDS else n for n in FAMILIES])
X = jax.random.normal(jax.random.key(1), (4, 4, 2))


def of(name, learned_variance=False):
    """A family's model on 4 x 4 pixels, and parameters of it that are all in use."""
    model = models.score_model(functional(FAMILIES[name]), VPSDE(), models.v, learned_variance=learned_variance)
    return model, drawn(jax.eval_shape(model.init, jax.random.key(0), X), 2)


def drawn(shapes, seed):
    """Parameters of these shapes, none of which is zero."""
    rng = np.random.default_rng(seed)
    draw = lambda shape: jnp.asarray(0.3 * rng.standard_normal(shape), jnp.float32)
    return jax.tree.map(lambda a: draw(a.shape), shapes)


def low_rank(base, seed, **options):
    """Adapters of which neither A nor B is zero."""
    return drawn(jax.eval_shape(partial(models.adapters, **options), jax.random.key(0), base), seed)


def ordered(tree):
    """The dotted paths of the leaves, in the order of jax."""
    return [".".join(str(each.key) for each in path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def by_hand(base, adapters, scale):
    """W + scale A B by numpy, in float64, of the dotted leaves."""
    leaves, low = flatten(base), flatten(adapters)
    change = lambda name: scale * (np.float64(low[f"{name}.A"]) @ np.float64(low[f"{name}.B"]))
    return {name: np.float64(W) + (change(name).reshape(W.shape) if f"{name}.A" in low else 0) for name, W in leaves.items()}


@slow_for("UViT", "DiT")
@each
def test_of_every_network_it_is_its_score_at_merged_parameters(name):
    """At B = 0 the base's, to the last bit; else that of W + alpha/rank A B."""
    model, base = of(name)
    model = model._replace(apply=jax.jit(model.apply, compiler_options=QUICKLY))
    adapted, params = models.lora(model, base, rank=2, alpha=3.0), low_rank(base, 4, rank=2)
    none = {path: jnp.zeros_like(leaf) if path.endswith("B") else leaf for path, leaf in flatten(params).items()}
    first = jax.tree.unflatten(jax.tree.structure(params), [none[path] for path in ordered(params)])
    plain = model.apply(base, X, 0.4)
    np.testing.assert_array_equal(adapted.apply(first, X, 0.4), plain)

    hands = by_hand(base, params, 1.5)
    whole = jax.tree.unflatten(jax.tree.structure(base), [jnp.float32(hands[path]) for path in ordered(base)])
    np.testing.assert_allclose(adapted.apply(params, X, 0.4), model.apply(whole, X, 0.4), rtol=1e-3, atol=1e-4)
    assert float(jnp.abs(model.apply(whole, X, 0.4) - plain).max()) > 1e-2


def test_adapters_begin_as_nothing():
    """B is zero, and A of variance 1/fan_in, each kernel's its own draw."""
    base = {"a": {"kernel": jnp.ones((3, 3, 100, 40))}, "b": {"kernel": jnp.ones((900, 40)), "bias": jnp.ones(40)}}
    made = models.adapters(jax.random.key(0), base, rank=8)
    for name in "ab":
        assert not made[name]["kernel"]["B"].any()
        assert float(made[name]["kernel"]["A"].std() * 30) == pytest.approx(1, rel=0.05)
    assert float(jnp.abs(made["a"]["kernel"]["A"] - made["b"]["kernel"]["A"]).min()) > 0
    jax.tree.map(np.testing.assert_array_equal, models.merged(base, made, 1.0), base)


@each
def test_kernels_are_of_one_kind(name):
    """Attention's and convolutions' are apart; all of them are every matrix that is called kernel."""
    model = models.score_model(functional(FAMILIES[name]), VPSDE())
    shapes = jax.eval_shape(model.init, jax.random.key(0), X)
    kernels = {path for path, leaf in flatten(shapes).items() if path.endswith("kernel") and len(leaf.shape) > 1}

    def chosen(on):
        try:
            made = jax.eval_shape(partial(models.adapters, rank=1, on=on), jax.random.key(0), shapes)
        except ValueError:  # of which there are none
            return set()
        return {path.rpartition(".")[0] for path in flatten(made)}

    attention, convolution, every = (chosen(on) for on in ("attention", "convolution", "all"))
    assert every == kernels
    assert attention == {path for path in kernels if "attention." in path}
    assert bool(attention) == (name in ATTENDS)
    assert convolution == {path for path in kernels if len(flatten(shapes)[path].shape) == 4}
    assert bool(convolution) == (name not in ("MLP", "linen"))


def test_a_change_of_rank_r_is_adapters_of_rank_r():
    """By its singular value decomposition, of a product and of a convolution; and no adapters make one of more."""
    rng, r = np.random.default_rng(0), 3
    W = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in {"a": (12, 7), "b": (3, 3, 2, 8)}.items()}
    base, params = ({name: {"kernel": value} for name, value in W.items()} for _ in range(2))
    wanted = {}
    for name, value in W.items():
        change = rng.standard_normal((value.size // value.shape[-1], r)) @ rng.standard_normal((r, value.shape[-1]))
        U, s, V = np.linalg.svd(change, full_matrices=False)
        params[name] = {"kernel": {"A": np.float32(U[:, :r] * s[:r]), "B": np.float32(V[:r])}}
        wanted[name] = value + change.reshape(value.shape)
    made = models.merged(base, params, 1.0)
    shapes = jax.tree.map(np.shape, models.adapters(jax.random.key(0), base, rank=r))
    assert shapes == jax.tree.map(np.shape, params)
    for name, value in W.items():
        np.testing.assert_allclose(made[name]["kernel"], wanted[name], rtol=1e-4, atol=1e-5)
        apart = np.asarray(made[name]["kernel"] - value, np.float64).reshape(-1, value.shape[-1])
        assert np.linalg.matrix_rank(apart, tol=1e-4) == r


def test_a_kernel_of_smaller_rank_has_its_own():
    """Of [5, 2] no change has rank 4; a rank that none of them has is refused."""
    base = {"a": {"kernel": jnp.ones((5, 2))}, "b": {"kernel": jnp.ones((9, 6)), "bias": jnp.ones(6)}}
    assert jax.tree.map(np.shape, models.adapters(jax.random.key(0), base, rank=4)) == {
        "a": {"kernel": {"A": (5, 2), "B": (2, 2)}},
        "b": {"kernel": {"A": (9, 4), "B": (4, 6)}},
    }
    with pytest.raises(ValueError, match=r"rank = 7: the kernels that are chosen have ranks up to 6"):
        models.adapters(jax.random.key(0), base, rank=7)
    with pytest.raises(ValueError, match="there are 2 of kind product; take on = 'all'"):
        models.adapters(jax.random.key(0), base, rank=1, on="convolution")


def test_gradients_are_those_of_the_chain_rule_and_reach_no_base():
    """dL/dA = s dL/dW' B^T and dL/dB = s A^T dL/dW', with dL/dW' the plain network's at merged parameters."""
    model, base = of("MLP")
    params, s = low_rank(base, 4, rank=2), 1.5
    loss = lambda base, params: (models.lora(model, base, rank=2, alpha=3.0).apply(params, X, 0.4) ** 2).sum()
    of_base, of_adapters = jax.jit(jax.grad(loss, (0, 1)))(base, params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_base))
    G = flatten(jax.jit(jax.grad(lambda p: (model.apply(p, X, 0.4) ** 2).sum()))(models.merged(base, params, s)))
    low, found = flatten(params), flatten(of_adapters)
    assert len(found) == 2 * 6  # first, two layers, their noise, last
    for name in {path.rpartition(".")[0] for path in found}:
        np.testing.assert_allclose(found[f"{name}.A"], s * G[name] @ low[f"{name}.B"].T, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[f"{name}.B"], s * low[f"{name}.A"].T @ G[name], rtol=1e-3, atol=1e-4)


def test_weights_are_linear_in_the_scale():
    """At 0 the base's to the last bit; at s the share s of the way to those at 1."""
    _, base = of("MLP")
    params = low_rank(base, 4, rank=2)
    none, half, whole = (models.merged(base, params, s) for s in (0.0, 0.5, 1.0))
    jax.tree.map(np.testing.assert_array_equal, none, base)
    jax.tree.map(lambda h, a, b: np.testing.assert_allclose(h, (a + b) / 2, rtol=1e-5, atol=1e-6), half, base, whole)


@pytest.mark.slow
def test_a_learned_variance_is_adapted_too():
    FAMILIES["two"] = partial(models.MLP, width=8, depth=2, outputs=2)
    model, base = of("two", learned_variance=True)
    adapted = models.lora(model, base, rank=1, alpha=2.0)
    params = low_rank(base, 5, rank=1)
    for ours, plain in zip(
        adapted.with_variance(params, X, 0.3), model.with_variance(models.merged(base, params, 2.0), X, 0.3), strict=True
    ):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


# Runs

NET = {"name": "MLP", "width": 64, "depth": 1}
SAMPLER = {"ancestral": {"step": "ancestral", "grid": "uniform_grid", "n": 4}}
SHAPE = (4, 4, 1)


def settings(folder, *more):
    """Of a small run on the examples in a folder."""
    data = {"name": "npz", "data_dir": str(folder), "levels": 17}
    sections = f"--config.data={data}", f"--config.net={NET}", f"--config.samplers={SAMPLER}"
    return [*TINY[2:], *sections, "--config.train.checkpoint_every=4", "--config.train.keep=9", *more]


def train(folder, steps, *more):
    line = settings(folder.parent, f"--config.train.steps={steps}", *more)
    return main(["train", f"--config={DIGITS}", f"--workdir={folder}", *line])


def adapt(folder, base, steps, *more):
    return train(folder, steps, f"--config.lora.run={base}", "--config.lora.rank=2", "--config.train.learning_rate=0.01", *more)


def examples(folder):
    """Thirty-two training and as many held-out ones, of noise, with labels 0 and 1."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        np.savez(folder / f"{split}.npz", image=rng.integers(0, 256, (32, *SHAPE), np.uint8), label=np.arange(32) % 2)


@pytest.fixture
def here(tmp_path):
    examples(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base, as `export` writes one, and adapters of it after 8 steps: to copy, and to leave as they are."""
    here = tmp_path_factory.mktemp("lora")
    examples(here)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parents[2])
        written(here / "base", 64)
        before = content(here / "base")
        assert adapt(here / "adapters", here / "base", 8) == 0
        assert content(here / "base") == before
    return here


def written(folder, width):
    """A network of that width with drawn parameters, as `export` writes it."""
    experiment = built(folder.parent, f"--config.net.width={width}")
    shapes = jax.eval_shape(experiment.initial, jax.random.key(0))
    native.write_weights(folder, experiment.config, jax.tree.map(np.asarray, drawn(shapes, 0)), SHAPE)


def built(folder, *more):
    return build(Config.model_validate(read_config(DIGITS, settings(folder, *more))), SHAPE)


def there(folder):
    return f"--config={folder}/config.json", f"--workdir={folder}"


def tensors(command, source, out, *more):
    """What a folder holds that is exported, or imported."""
    assert main([command, str(source), str(out), *more]) == 0
    return native.read_weights(out).tensors


@pytest.mark.slow
def test_a_run_of_adapters_holds_nothing_else(runs):
    """In checkpoints: parameters, average and moments of A and B alone; they have learned, and the base is its own."""
    leaves = seal(runs / "adapters", 8)
    of_params = {name for name in leaves if name.startswith("params/")}
    assert of_params == {name for name in leaves if name.startswith("params/") and name.endswith(("kernel/A", "kernel/B"))}
    assert len(of_params) == 2 * 4  # first, one layer, its noise, last
    config = json.loads((runs / "adapters" / "config.json").read_text())
    assert len(config["lora"]["digest"]) == 16


@pytest.mark.slow
def test_a_run_of_adapters_stopped_is_one_that_was_not(runs, here):
    for steps in (4, 8):
        assert adapt(here / "halves", runs / "base", steps) == 0
    assert seal(here / "halves", 8) == seal(runs / "adapters", 8)


@pytest.mark.slow
def test_a_step_of_adapters_is_repeated(runs, here):
    """With the gradient of each, and none of the base's."""
    run = shutil.copytree(runs / "adapters", here / "run")
    assert main(["replay", str(run), "--step=6"]) == 0
    norms = json.loads((run / "replay_6.json").read_text())["modules"]
    assert set(norms) == {f"{name}/kernel" for name in ("first", "layers/0", "noise/0", "last")}
    assert min(norms.values()) > 0


@pytest.mark.slow
def test_what_is_exported_is_the_base_and_as_much_more_as_is_asked(runs, here):
    """Merged at 0 the base's tensors to the last bit, at 1/2 halfway to those at 1; imported, a plain run."""
    base = tensors("export", runs / "base", here / "base")
    none, half, whole = (
        tensors("export", runs / "adapters", here / f"at{scale}", f"--config.lora.scale={scale}") for scale in (0.0, 0.5, 1.0)
    )
    for name, W in base.items():
        np.testing.assert_array_equal(none[name], W)
        np.testing.assert_allclose(half[name], (W + whole[name]) / 2, rtol=1e-5, atol=1e-6)
        assert np.array_equal(whole[name], W) != name.endswith("kernel")
    assert native.read_weights(here / "at1.0").config["lora"] is None
    imported = tensors("import", here / "at1.0", here / "plain")
    assert all(np.array_equal(imported[name], value) for name, value in whole.items())


@pytest.mark.slow
def test_adapters_go_and_come_back_by_themselves(runs, here, capsys):
    """A file without the base's tensors or its folder, which whoever imports it names; what it is merged to is the same."""
    low = tensors("export", runs / "adapters", here / "sent", "--layout=lora")
    assert {name.rpartition(".")[2] for name in low} == {"A", "B"}
    assert "run" not in native.read_weights(here / "sent").config["lora"]
    assert main(["import", str(here / "sent"), str(here / "here")]) == 2
    assert "--config.lora.run=RUN" in capsys.readouterr().err
    back = tensors("import", here / "sent", here / "here", f"--config.lora.run={runs / 'base'}")
    assert all(np.array_equal(back[name], value) for name, value in low.items())
    ours, theirs = (
        tensors("export", folder, here / f"whole{i}") for i, folder in enumerate((runs / "adapters", here / "here"))
    )
    assert all(np.array_equal(theirs[name], value) for name, value in ours.items())
    found = f"--config.data.data_dir={runs}"
    assert main(["train", *there(here / "here"), "--config.train.steps=2", found]) == 0
    # An export of the base is the base.
    tensors("export", runs / "base", here / "base")
    assert main(["sample", *there(here / "here"), f"--config.lora.run={here / 'base'}", found]) == 0


@pytest.mark.slow
def test_a_base_that_has_changed_is_refused(here, capsys):
    """A run of ours: trained on it is another; rolled back it is itself."""
    base, adapters = here / "base", here / "adapters"
    assert train(base, 4) == 0
    before = content(base)
    assert adapt(adapters, base, 8) == 0
    assert content(base) == before
    assert train(base, 8) == 0
    named = f"--config.lora.run={base}"
    for line in (
        ["sample", *there(adapters), named],
        ["train", *there(adapters), named],
        ["export", str(adapters), str(here / "x"), named],
    ):
        capsys.readouterr()
        assert main(line) == 5
        said = capsys.readouterr().err
        assert "these adapters were trained on" in said
        assert len(said.splitlines()) <= 5
    assert adapt(adapters, base, 12) == 5  # by the first command too, which knows of no digest
    assert main(["ckpt", "rollback", str(base), "--step=4"]) == 0
    assert adapt(adapters, base, 12) == 0


@pytest.mark.parametrize(
    ("code", "more", "says"),
    [
        (2, ["net.width=32"], "net.width: 64, and not 32"),
        (2, ["sde.beta_max=10.0"], "sde.beta_max: None, and not 10.0"),
        (2, ["parameterization=eps"], "parameterization: 'v', and not 'eps'"),
        (2, ["lora.scale=0.5"], "lora.scale = 0.5: adapters are trained at 1"),
        (
            2,
            ["lora.on=attention"],
            "lora: on = 'attention' chooses none of the network's kernels, of which there are 4 of kind product",
        ),
        (2, ["lora.rank=65"], "lora: rank = 65: the kernels that are chosen have ranks up to 64"),
        (2, ["lora.rank=0"], "lora.rank = 0"),
        (2, ["lora.run=''"], "lora: run is empty"),
        (5, ["lora.run=nowhere"], "lora.run = 'nowhere' holds no run to adapt"),
        (5, ["lora.run=" + "z" * 5000], "holds no run to adapt"),
        (5, ["lora.run=/dev/null"], "holds no run to adapt"),
        (2, ["lora.rnk=3"], "unknown config key lora.rnk (did you mean rank?)"),
    ],
)
def test_what_does_not_apply_is_refused(code, more, says, runs, here, capsys):
    """Before anything is compiled or written."""
    assert adapt(here / "new", runs / "base", 4, *(f"--config.{each}" for each in more)) == code
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) <= 5
    assert not (here / "new").exists()


def test_adapters_are_no_base_and_a_base_has_none(runs, here, capsys):
    assert adapt(here / "new", runs / "adapters", 4) == 2
    assert "is a run of adapters itself" in capsys.readouterr().err
    assert main(["export", str(runs / "base"), str(here / "out"), "--layout=lora"]) == 2
    assert "has no adapters" in capsys.readouterr().err
    assert adapt(shutil.copytree(runs / "adapters", here / "adapters"), runs / "base", 8, "--config.lora.rank=1") == 2
    assert "lora.rank: 2 then, 1 now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_base_s_config_is_data(runs, here, capsys):
    """Code that it names is not called, unless the config that adapts it names it too."""
    base = shutil.copytree(runs / "base", here / "base")
    config = json.loads((base / "config.json").read_text())
    for times in ("os:abort", "user_parts:cliff"):
        (base / "config.json").write_text(json.dumps(config | {"times": {"name": times}}))
        assert adapt(here / "new", base, 4) == 2
        assert "code that is not OneSDE's" in capsys.readouterr().err
    for text in ("{", "[]", '{"lora": 3}', "9" * 5000):
        (base / "config.json").write_text(text)
        assert adapt(here / "new", base, 4) == 2


def prepared(base, *overrides):
    """The experiment on its base, its state, and its training step as it is compiled."""
    experiment = with_base(built(base.parent, f"--config.lora.run={base}", *overrides), base / "nothing")
    state = init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0))
    call = make_call(experiment, make_optimizer(experiment.config.train), stream(0, Purpose.STEP))
    place = placement(experiment.config, state)
    return experiment, state, devices.pmapped(call, place, place, experiment.frozen)


@pytest.mark.parametrize("shard", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_weight_of_the_base_is_written_into_the_program(shard, here):
    """A base of 15 MB adds as few bytes to the program as one of 66 kB. With shares, each of two devices holds half of it."""
    sizes = {}
    for width in (64, 1360):
        base, options = here / str(width), (f"--config.net.width={width}", f"--config.train.shard={shard}")
        written(base, width)
        adapted, state, advance = prepared(base, *options)
        batch = devices.split(Batch(np.zeros((1, 64, *SHAPE), np.uint8)), axis=1)
        sizes[width] = len(advance.lower(state, batch, adapted.frozen, np.zeros(2, np.int32)).as_text())
    held = [leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(adapted.frozen)]
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(adapted.frozen))
    assert total > 10e6
    assert sizes[1360] < 1.05 * sizes[64]
    assert sum(held) == total if not shard else sum(held) < 0.6 * total


@pytest.mark.slow
def test_adapters_in_shares_are_those_on_every_device(runs, here):
    """Bit by bit, on eight of them, with a base in shares."""
    assert adapt(here / "shares", runs / "base", 8, "--config.train.shard=True") == 0
    assert seal(here / "shares", 8) == seal(runs / "adapters", 8)


# data.only


def test_examples_of_some_labels(tmp_path):
    """Those of the digits, by their labels, in both splits; the rest of the run's data is told apart by its digest."""
    every, some = (Data.model_validate({"name": "digits", "levels": 17, "only": only}) for only in ((), (3, 5)))
    whole, chosen = (load(open_sources(data), data, 0) for data in (every, some))
    for split in ("train", "test"):
        labels = getattr(whole, f"{split}_labels")
        np.testing.assert_array_equal(getattr(chosen, f"{split}_labels"), labels[np.isin(labels, (3, 5))])
    np.testing.assert_array_equal(chosen.train_examples(), whole.train_examples()[np.isin(whole.train_labels, (3, 5))])
    assert chosen.digest != whole.digest
    assert some.origin("train") == "digits train of label 3, 5"


def test_labels_that_there_are_not(here):
    npz = {"name": "npz", "data_dir": str(here)}
    sources = open_sources(Data.model_validate(npz | {"only": (1,)}))
    assert [len(sources.train), len(sources.test)] == [16, 16]
    with pytest.raises(DataError, match=r"no example of npz train has such a label; there are 0, 1"):
        open_sources(Data.model_validate(npz | {"only": (2,)}))
    with pytest.raises(DataError, match="two_moons train have no labels"):
        open_sources(Data.model_validate({"name": "two_moons", "levels": 0, "only": (0,)}))
    tree = read_config("configs/digits/vp.py", ["--config.data.only=(3,)"])
    with pytest.raises(ConfigError, match="tells classes apart"):
        build(Config.model_validate(tree), (8, 8, 1))
