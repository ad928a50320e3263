"""Labels from the data to the score: each beside its example, left out as often as asked, learned, guided by, and refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, MOONS, ROOT, drawn, in_root  # noqa: F401
from slow import one_in

from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.sampler import BoundSampler
from experiments.build.state import init_state
from experiments.config.guidance import Guide
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data import dataset, decoded, feed
from experiments.main import main
from experiments.runtime.errors import DataError
from experiments.training.step import example_loss, make_step

pytestmark = pytest.mark.usefixtures("in_root")

CLASSES = 7
TINY = [
    *("--config.net={'name': 'MLP', 'width': 16, 'depth': 1, 'classes': 10}", "--config.train.label_dropout=0.2"),
    *("--config.train.steps=4", "--config.train.warm_up=2", "--config.train.sample_every=4", "--config.train.batch=32"),
    *("--config.sample.n=16", "--config.evaluate.batch=16", "--config.sample.sampler=fast"),
]


def source(n=40, labelled=True):
    """Images of their own number, labelled by it."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 1))
    return [{"image": image} | ({"label": i % CLASSES} if labelled else {}) for i, image in enumerate(images)]


def records(where, labelled=True):
    return dataset.ExampleStream(decoded.Decoded(source(labelled=labelled), 256, "numbers"), 5, 0 if where == "disk" else 4096)


@pytest.mark.parametrize("where", ["device", "host", "disk"])
def test_each_label_comes_with_its_example(where):
    """Over the end of an epoch, wherever the examples lie."""
    for ((levels, y),) in feed.feed([records(where)], 16, feed.blocks(0, 6, 2), CLASSES, on_device=where == "device"):
        np.testing.assert_array_equal(y, np.asarray(levels)[..., 0, 0, 0] % CLASSES)


@pytest.mark.parametrize("where", ["host", "disk"])
@pytest.mark.parametrize("labelled", [True, False])
def test_what_has_no_such_label_is_refused(where, labelled):
    with pytest.raises(DataError, match="labels from 0 to 6" if labelled else "without a label"):
        records(where, labelled).batch(0, 40, classes=CLASSES - 1)


def made(file, shape, *overrides):
    return build(Config.model_validate(read_config(file, [*TINY, *overrides])), shape)


def test_labels_are_left_out_as_often_as_asked():
    """The network is told the label, or the class after the last, in the share of label_dropout, to 5 standard errors."""
    experiment, n = made(DIGITS, (8, 8, 1)), 4000
    told = lambda params, x, t, y, key: jnp.zeros_like(x) + y
    seen = experiment._replace(
        model=experiment.model._replace(apply=told), objective=lambda sde, score: lambda key, x_0, t: score(x_0, t).mean()
    )
    loss = jax.vmap(example_loss(seen), (None, 0, None, None))
    example = dataset.Batch(jnp.zeros((8, 8, 1), jnp.uint8), jnp.int32(3))
    y = np.asarray(loss(None, jax.random.split(jax.random.key(0), n), example, 0.5).score)
    assert set(y) == {3, 10}
    assert (y == 10).mean() == pytest.approx(0.2, abs=5 * (0.2 * 0.8 / n) ** 0.5)


CENTRES = np.array([[1.0, 0.0], [-1.0, 1.0]], np.float32)


@pytest.fixture(scope="module")
def of_two_classes():
    """An MLP trained on two points in the plane, each a class of its own: the experiment and its parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        more = "--config.net.classes=2", "--config.net.width=64", "--config.train.learning_rate=3e-3"
        experiment = made(MOONS, (2,), *more, "--config.train.decay=constant", "--config.sample.sampler=ancestral")
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, jax.random.key(0))
    state = jax.device_put(state, jax.devices()[0])
    y = np.random.default_rng(0).integers(0, 2, (1000, 128)).astype(np.int32)
    advance = jax.jit(make_step(experiment, optimizer, jax.random.key(1)))
    return experiment, advance(state, dataset.Batch(CENTRES[y], y)).params


@pytest.mark.slow
def test_a_network_learns_each_class_and_all_of_them(of_two_classes):
    """E[x_0 | x_t, y] is the class's point at every noise; without a label it is their mean, over x_t of noise alone."""
    experiment, params = of_two_classes
    for t in (0.5, 0.8):
        for y, centre in enumerate(CENTRES):
            x_t = experiment.sde.perturb(jnp.asarray(centre), jnp.array([0.3, -0.8]), t)
            found = experiment.sde.denoise(experiment.score(params, y=y), x_t, t)
            np.testing.assert_allclose(found, centre, atol=0.25)
    of_noise = jax.vmap(lambda x_t: experiment.sde.denoise(experiment.unconditional(params), x_t, 0.9))
    found = of_noise(jax.random.normal(jax.random.key(2), (256, 2))).mean(0)
    np.testing.assert_allclose(found, CENTRES.mean(0), atol=0.3)


@pytest.mark.slow
def test_a_sampler_is_guided_by_its_weight(of_two_classes):
    """score_u + w (score_c - score_u) in the interval of noise, the class's own score outside; and it is what is sampled by."""
    experiment, params = of_two_classes
    guidance = {"name": "classifier_free", "w": 3.0, "interval": (0.5, 5.0)}
    tree = read_config(MOONS, [*TINY, "--config.net.classes=2", f"--config.samplers.ancestral.guidance={guidance}"])
    sampler, sde, x = Config.model_validate(tree).samplers["ancestral"], experiment.sde, jnp.array([0.4, 0.1])
    guided = BoundSampler(experiment, sampler).reverse(params, 1)
    swept = BoundSampler(experiment, sampler).reverse(params, 1, w=jnp.float32(0.0))
    conditional, unconditional = experiment.score(params, y=1), experiment.unconditional(params)
    for noise in (0.3, 1.0, 6.0):
        t = sde.time_at(-2 * jnp.log(noise))
        s_c, s_u = conditional(x, t), unconditional(x, t)
        inside = 0.5 < noise < 5
        np.testing.assert_allclose(guided.score(x, t), s_u + (3 if inside else 1) * (s_c - s_u), rtol=1e-5)
        np.testing.assert_allclose(swept.score(x, t), s_u if inside else s_c, rtol=1e-5)
    t, s = sde.time_at(0.0), sde.time_at(1.0)
    plain = BoundSampler(experiment, sampler.model_copy(update={"guidance": None})).step(params, 1)
    moved = [step.update(jax.random.key(0), x, (), t, s)[0] for step in (guided.step, plain)]
    assert np.abs(np.subtract(*moved)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoguidance", "classifier"])
def test_a_sampler_is_guided_by_another_run(of_two_classes, kind):
    """By the formulas, with a weaker score -x given any label, and log p(y | x) = -(y + 1) |x|^2/2."""
    experiment, params = of_two_classes
    guides = {
        "autoguidance": Guide(0, score=lambda params, y: lambda x, t: -x),
        "classifier": Guide(2, log_prob=lambda params, x, t: -(jnp.arange(2) + 1) * jnp.sum(x**2) / 2),
    }
    guidance = {"name": kind, "run": "there", "w": 2.5}
    tree = read_config(MOONS, [*TINY, "--config.net.classes=2", f"--config.samplers.ancestral.guidance={guidance}"])
    sampler, x, t = Config.model_validate(tree).samplers["ancestral"], jnp.array([0.4, 0.1]), 0.4
    found = BoundSampler(experiment._replace(guides={"there": guides[kind]}), sampler).reverse(params, 1).score(x, t)
    s_c, s_u = experiment.score(params, y=1)(x, t), experiment.unconditional(params)(x, t)
    np.testing.assert_allclose(found, -x + 2.5 * (s_c + x) if kind == "autoguidance" else s_u - 2.5 * 2 * x, rtol=1e-5)
    other = "classifier" if kind == "autoguidance" else "autoguidance"
    with pytest.raises(ValueError, match="is a classifier" if kind == "autoguidance" else "is no classifier"):
        BoundSampler(experiment._replace(guides={"there": guides[other]}), sampler).step(params, 1)


def test_each_sample_has_the_label_asked_for():
    experiment = made(DIGITS, (8, 8, 1))
    sampler = experiment.config.samplers["fast"]
    labels = lambda *more: BoundSampler(made(DIGITS, (8, 8, 1), *more), sampler).labels(12)
    np.testing.assert_array_equal(BoundSampler(experiment, sampler).labels(12), [*range(10), 0, 1])
    np.testing.assert_array_equal(labels("--config.sample.label=4"), [4] * 12)
    assert labels("--config.sample.label=None") is None
    assert labels("--config.net={'name': 'MLP'}", "--config.train.label_dropout=0.0") is None


def run(command, workdir, *overrides):
    return main([command, f"--config={DIGITS}", f"--workdir={workdir}", *TINY, *overrides])


def picture(workdir):
    return np.asarray(Image.open(drawn(workdir / "samples", "fast_seed0")))


@pytest.mark.slow
def test_from_training_to_guided_samples(tmp_path, capsys):
    """A conditional run, a classifier, and samples of the one guided by itself, by its like, and by the other."""
    base, weak, classifier = (tmp_path / name for name in ("base", "weak", "classifier"))
    assert run("train", base) == 0
    assert run("train", weak, "--config.net.width=8") == 0
    as_classifier = [
        "--config.net={'name': 'Classifier', 'classes': 10, 'width': 8, 'multipliers': (1, 2)}",
        *("--config.objective=cross_entropy", "--config.weight=None", "--config.train.label_dropout=0.0"),
    ]
    assert run("train", classifier, *as_classifier) == 0
    assert run("evaluate", classifier, *as_classifier, "--config.evaluate.noise_levels=3") == 0
    assert np.asarray(Image.open(classifier / "classifier.png")).std() > 1
    assert run("sample", base) == 0
    plain = picture(base)
    for guidance in (
        {"name": "classifier_free", "w": 30.0},
        {"name": "autoguidance", "w": 30.0, "run": str(weak)},
        {"name": "classifier", "w": 300.0, "run": str(classifier)},
    ):
        capsys.readouterr()
        assert run("sample", base, f"--config.samplers.fast.guidance={guidance}") == 0
        assert guidance.get("run", "") in capsys.readouterr().out
        assert (picture(base) != plain).any()
    wrong = {"name": "classifier", "run": str(weak)}
    for guidance, more, says, code in (
        (wrong, (), "is no classifier: train one with objective cross_entropy", 2),
        (wrong | {"run": str(classifier)}, ("--config.sample.label=None",), "guidance classifier goes to a class", 2),
        (wrong | {"name": "autoguidance", "run": str(classifier)}, (), "is a classifier: autoguidance takes a score", 2),
        (wrong | {"run": str(tmp_path / "none")}, (), "holds no run (there is no config.json): name another", 5),
    ):
        assert run("sample", base, f"--config.samplers.fast.guidance={guidance}", *more) == code
        assert says in capsys.readouterr().err
    assert run("sample", classifier, *as_classifier) == 2
    assert "has no score to draw from" in capsys.readouterr().err


@one_in(3)
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--config.net={'name': 'MLP'}", "train.label_dropout = 0.2: the network learns from no labels; set net.classes"),
        ("--config.sample.label=10", "sample.label: there is no class 10 (there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"),
        ("--config.sample.label=all", "sample.label: there is no class 'all' (there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"),
        ("--config.sample.label=-1", "sample.label: there is no class '-1' (did you mean 1?)"),
        ("--config.samplers.fast.guidance=classifier_fre", "(did you mean classifier_free?)"),
        ("--config.samplers.fast.guidance=classifier", "samplers.fast.guidance: option run is missing"),
        ("--config.samplers.fast.guidance={'name': 'classifier_free', 'w': -1.0}", "samplers.fast.guidance: w = -1.0"),
        (
            "--config.samplers.fast.guidance={'name': 'classifier_free', 'interval': (2.0, 1.0)}",
            "give a lower and then a higher noise",
        ),
        ("--config.samplers.fast.sweep={'w': (1.0, 2.0)}", "samplers.fast.sweep: w is of a guidance"),
        ("--config.net.classes=5", "labels from 0 to 9, and those of net.classes = 5 are from 0 to 4"),
        ("--config.objective=cross_entropy", "a classifier learns from labels alone; take 0"),
    ],
)
def test_refusals(tmp_path, capsys, override, says):
    assert run("train", tmp_path / "run", override) in (2, 3)
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_no_score_without_a_label_where_none_was_learned(tmp_path, capsys):
    """Asked for by the label None, by guidance, or by an interpolation."""
    none = "--config.train.label_dropout=0.0"
    assert run("train", tmp_path, none) == 0
    for command, more in (
        ("sample", "--config.sample.label=None"),
        ("sample", "--config.samplers.fast.guidance=classifier_free"),
        ("interpolate", "--config.interpolate.pairs=2"),
    ):
        assert run(command, tmp_path, none, more) == 2
        assert "has learned no score without a label: train with train.label_dropout" in capsys.readouterr().err


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Runs of a classifier of ten classes, and of one of the first three."""
    runs = {n: tmp_path_factory.mktemp(f"of_{n}") for n in (10, 3)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for n, folder in runs.items():
            net = f"{{'name': 'Classifier', 'classes': {n}, 'width': 8, 'multipliers': (1,), 'blocks': 1}}"
            few = "--config.train.steps=2", "--config.train.warm_up=1", f"--config.data.only={tuple(range(n))}"
            argv = ["train", "--config=configs/digits/classifier.py", f"--workdir={folder}", f"--config.net={net}", *few]
            assert main(argv) == 0
    return runs


@pytest.mark.parametrize("command", ["sample", "interpolate", "edit", "demo"])
def test_a_classifier_is_not_drawn_from(tmp_path, capsys, command):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(read_config("configs/digits/classifier.py", [])))
    where = [str(tmp_path), "--port=0"] if command == "demo" else [f"--config={path}", f"--workdir={tmp_path}"]
    assert main([command, *where]) == 2
    assert f"{command}: the objective trains a classifier" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide", "classes", "more", "says"),
    [
        (3, 10, (), "net.classes = 3, and this run 10"),
        (10, 0, ("--config.sample.label=10",), "there is no class 10 (there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"),
        (10, 0, ("--config.data.range=unit",), "was trained with data.range = symmetric, and this run unit"),
        (10, 0, ("--config.sample.label=3", "--config.sample.sampler=ancestral"), "the network has no classes"),
    ],
)
def test_a_guide_of_other_labels_or_numbers_is_refused(tmp_path, capsys, classifiers, guide, classes, more, says):
    """JAX reads the last entry for a label beyond it, and would guide to that."""
    guided = f"--config.samplers.fast.guidance={{'name': 'classifier', 'run': '{classifiers[guide]}'}}"
    dropout = f"--config.train.label_dropout={0.2 if classes else 0.0}"
    assert run("train", tmp_path / "run", guided, f"--config.net.classes={classes}", dropout, *more) == 2
    assert says in capsys.readouterr().err
