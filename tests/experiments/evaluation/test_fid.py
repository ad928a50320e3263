"""FID's network and measures against torch-fidelity's, with random weights: nothing is downloaded."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fidelity import fidelity
from published import draw, relative_error

from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Dataset
from experiments.evaluation import distances, inception, inception_weights, statistics
from experiments.evaluation.features import feature_space
from experiments.evaluation.measures import computable, measure_images
from experiments.evaluation.reference import Reference
from experiments.evaluation.statistics_files import stored_statistics
from experiments.main import main
from experiments.runtime.errors import ConfigError

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="module")
def tensors():
    """Random weights that keep the size of what goes through them, in the form of the published files."""
    shapes = inception_weights.published_shapes()
    gain = {"conv.weight": lambda w: w * np.float32(2**0.5), "running_mean": lambda m: m - np.float32(1)}
    drawn = {
        name: next((g for end, g in gain.items() if name.endswith(end)), np.asarray)(w) for name, w in draw(shapes).items()
    }
    counts = {
        name.replace("running_var", "num_batches_tracked"): np.array(1) for name in shapes if name.endswith("running_var")
    }
    return drawn | counts | {"fc.bias": np.ones(1008, np.float32)}


@pytest.fixture(scope="module")
def weights(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    safetensors.save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def network(weights):
    return inception_weights.load(weights)


@pytest.fixture(scope="module")
def theirs(tensors, tmp_path_factory):
    """torch-fidelity's extractor with those weights, and the .pth file."""
    torch = pytest.importorskip("torch")
    extractor = fidelity("feature_extractor_inceptionv3")
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, path)
    wanted = ["2048", "logits_unbiased"]
    return extractor.FeatureExtractorInceptionV3("inception", wanted, feature_extractor_weights_path=str(path)), path


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_the_published_file_has_566_tensors(tensors):
    """94 convolutions, each with five tensors of its normalisation; torchvision's 23,834,568 parameters, and 8 more classes."""
    assert len(tensors) == 566
    parameters = sum(value.size for name, value in tensors.items() if name.endswith(("weight", "bias")))
    assert parameters == 23_834_568 + 8 * 2049


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (64, 48), (299, 299), (310, 400)])
def test_resizing_is_tensorflow_1_s(shape):
    torch = pytest.importorskip("torch")
    module = fidelity("interpolate_compat_tensorflow")
    x = pixels(*shape, 3).astype(np.float32)
    like = torch.tensor(x.transpose(2, 0, 1)[None])
    exact = module.interpolate_bilinear_2d_like_tensorflow1x(like, size=(299, 299), align_corners=False)
    np.testing.assert_allclose(inception.resize(jnp.asarray(x)), exact[0].numpy().transpose(1, 2, 0), atol=1e-4)


@pytest.mark.slow
def test_every_block_is_theirs(network, theirs):
    """At 32 x 32 pixels: the resize, each layer of the stem, each block, the features and the logits."""
    torch = pytest.importorskip("torch")
    extractor, _ = theirs
    seen = {}
    for name, module in extractor.named_children():
        module.register_forward_hook(lambda module, args, out, name=name: seen.update({name: out.numpy()}))
    image = pixels(32, 32, 3)
    features, logits = extractor(torch.tensor(image.transpose(2, 0, 1)[None]))
    x = (inception.resize(jnp.asarray(image, jnp.float32))[None] - 128) / 128
    names = []
    for name, out in inception.blocks(network.params, x):
        if name:
            assert relative_error(out, seen[name].transpose(0, 2, 3, 1)) < 1e-5, name
            names.append(name)
    assert set(seen) == {*names, "MaxPool_1", "MaxPool_2", "AvgPool"}
    ours = inception.embed(network.params, jnp.asarray(image))
    assert relative_error(ours, features[0]) < 1e-5
    assert relative_error(network.logits(np.asarray(ours)), logits[0]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28, 1), (96, 64, 3), (299, 299, 3), (330, 310, 3)])
def test_features_are_theirs_at_other_sizes(network, theirs, shape):
    """One channel is seen as three alike."""
    torch = pytest.importorskip("torch")
    image = pixels(*shape)
    three = np.broadcast_to(image, (*shape[:2], 3)).transpose(2, 0, 1)[None].copy()
    features, _ = theirs[0](torch.tensor(three))
    assert relative_error(inception.embed(network.params, jnp.asarray(image)), features[0]) < 1e-5


def test_pth_and_safetensors_are_one_network(network, theirs):
    loaded = inception_weights.load(str(theirs[1]))
    assert loaded.digest == network.digest
    assert not loaded.official
    jax.tree.map(np.testing.assert_array_equal, loaded.params, network.params)


def statistics_of(n, dims=24, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dims)) @ rng.standard_normal((dims, dims)) + 0.3 * seed


def test_distances_and_scores_are_torch_fidelity_s():
    """To 1e-8, in float64: FID; KID over subsets that are all of the set; the Inception score."""
    torch = pytest.importorskip("torch")
    metric_fid = fidelity("metric_fid")
    metric_kid = fidelity("metric_kid")
    metric_isc = fidelity("metric_isc")
    a, b = statistics_of(400), statistics_of(400, seed=1)
    of = lambda x: metric_fid.fid_features_to_statistics(torch.tensor(x))
    exact = metric_fid.fid_statistics_to_metric(of(a), of(b), False)["frechet_inception_distance"]
    mu, cov = distances.moments(a, block=64)
    np.testing.assert_allclose(mu, of(a)["mu"], rtol=1e-8)
    np.testing.assert_allclose(cov, of(a)["sigma"], rtol=1e-8, atol=1e-10)
    assert distances.frechet_distance(a, b) == pytest.approx(exact, rel=1e-8)

    theirs = metric_kid.kid_features_to_metric(
        torch.tensor(a), torch.tensor(b), kid_subsets=2, kid_subset_size=400, verbose=False
    )
    mean, std = distances.kernel_distance(a, b, subsets=2)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-8)
    assert std < 1e-8 * mean

    theirs = metric_isc.isc_features_to_metric(torch.tensor(a[:395]), splits=10, shuffle=False)
    mean, std = distances.inception_score(a[:395])
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-8)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-8)


def test_precision_and_recall_are_torch_fidelity_s():
    """Of clouds that overlap in part, in blocks that do not divide them."""
    torch = pytest.importorskip("torch")
    metric_prc = fidelity("metric_prc")
    z = np.random.default_rng(0).standard_normal((1350, 4)).astype(np.float32)
    fake, real = z[:700], 1 + z[700:]
    theirs = metric_prc.prc_features_to_metric(torch.tensor(fake), torch.tensor(real), verbose=False)
    ours = distances.precision_recall(fake, real, 3)
    assert all(0.05 < share < 0.95 for share in ours)
    assert ours == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)  # a float32 mean


def test_kid_of_one_distribution_is_nought_in_the_mean():
    """Unbiased, at once over many subsets: within four standard errors of 0, and negative for some."""
    rng = np.random.default_rng(0)
    values = [distances.kernel_distance(*rng.standard_normal((2, 60, 5)), subsets=1)[0] for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 200**0.5
    assert min(values) < 0


def test_inception_score_of_certain_and_even_classes_is_their_number():
    assert distances.inception_score(1000 * np.eye(5)[np.arange(100) % 5])[0] == pytest.approx(5, rel=1e-12)
    assert distances.inception_score(np.zeros((100, 5)))[0] == pytest.approx(1, rel=1e-12)


PROTOCOL = statistics.Protocol("inception-2015-12-05 0123", "uint8", (8, 8, 1), 17, "abcd", "test")


def test_unlike_protocols_do_not_compare():
    """Whatever differs is named; the number of images may."""
    a, b = statistics_of(50), statistics_of(60, seed=1)
    assert statistics.frechet(statistics.statistics(a, PROTOCOL), statistics.statistics(b, PROTOCOL)) == pytest.approx(
        distances.frechet_distance(a, b), rel=1e-9
    )
    for field, other in (("extractor", "inception-2015-12-05 4567"), ("input", "float"), ("levels", 256), ("split", "train")):
        with pytest.raises(ConfigError, match=f"do not compare(.|\n)*{field}: .*{other}"):
            statistics.frechet(
                statistics.statistics(a, PROTOCOL), statistics.statistics(b, PROTOCOL._replace(**{field: other}))
            )


def test_statistics_are_kept_by_what_made_them(tmp_path, capsys):
    """Made once for the same images and protocol; made anew for others, and where the file is damaged."""
    images, made = pixels(30, 8, 8, 1), []

    def kept(images=images, protocol=PROTOCOL):
        return stored_statistics(
            tmp_path,
            images,
            protocol,
            lambda: made.append(1) or statistics.statistics(images.reshape(len(images), -1), protocol),
        )

    first, again = kept(), kept()
    assert len(made) == 1
    assert (again.n, again.protocol) == (first.n, first.protocol)
    for field in ("mu", "root", "features"):
        np.testing.assert_array_equal(getattr(again, field), getattr(first, field))
    kept(images[::-1].copy())
    kept(protocol=PROTOCOL._replace(extractor="another"))
    assert len(made) == 3
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert kept().n == 30
    assert len(made) == 4
    assert "is damaged" in capsys.readouterr().out
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["protocol"]["split"] == "test"


def test_only_so_many_features_are_held(monkeypatch):
    monkeypatch.setattr(statistics, "FEW", 20)
    features = statistics_of(50)
    made = statistics.statistics(features, PROTOCOL)
    assert made.n == 50
    assert len(made.features) == 20
    assert len({row.tobytes() for row in made.features} & {row.tobytes() for row in features}) == 20


def config(**evaluate):
    tree = read_config("configs/digits/vp.py", [])
    return Config.model_validate(tree | {"evaluate": tree["evaluate"] | {"features": "inception"} | evaluate})


def digits(n=40):
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 17, (2 * n, 8, 8, 1)).astype(np.uint8)
    train = range(n)  # of which only the number is asked for
    return Dataset((8, 8, 1), train, levels[:n], None, None, "abcd"), levels[n:]  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_levels_are_seen_as_pixels_by_all_devices(weights, network, capsys):
    """0..16 become 0..255; and a file that is not the published one is said to be another."""
    data, _ = digits()
    space = feature_space(config(inception=weights, batch=8), data)
    features = space.embed(data.test[:7])
    assert features.shape == (7, 2048)
    scaled = np.round(data.test[3] * (255 / 16)).astype(np.uint8)
    np.testing.assert_allclose(features[3], inception.embed(network.params, jnp.asarray(scaled)), rtol=1e-4, atol=1e-5)
    assert "is not the published file" in " ".join(capsys.readouterr().out.split())
    assert (space.distance, space.extractor) == ("FID", f"inception-2015-12-05 {network.digest}")


def flattened(params, image):
    """In the network's place, where the network is not the matter: 2048 numbers of an image, in no time."""
    return jnp.resize(image / 255, (2048,)) * jnp.linspace(-1, 1, 2048)


@pytest.mark.slow
def test_a_set_held_against_itself(weights, capsys, tmp_path, monkeypatch):
    """FID and KID of equals are 0 and negative, precision and recall 1; few images are warned of; statistics are kept."""
    monkeypatch.setattr(inception, "embed", flattened)
    data, others = digits()
    settings = config(inception=weights, n=24)
    space = feature_space(settings, data)
    reference = Reference.of(settings, data, space, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "FID of 24 samples, fewer than 10,000, is biased up" in said
    assert "FID against 40 real images, fewer than 10,000, is biased up" in said
    itself, other = measure_images(reference, data.test, 17), measure_images(reference, others, 17)
    assert list(itself) == [measure.name for measure in computable(reference, len(data.test))]
    assert itself["frechet"] == pytest.approx(0, abs=1e-3 * other["frechet"])
    assert itself["kid"] < 0
    assert (itself["precision"], itself["recall"]) == (1, 1)
    assert 1 <= other["inception_score"] < 1008
    with pytest.raises(ConfigError, match="levels: 9 and 17"):
        measure_images(reference, data.test, 9)
    again = Reference.of(settings, data, space._replace(embed=None), tmp_path)
    np.testing.assert_array_equal(again.real.root, reference.real.root)


@pytest.mark.parametrize(
    ("evaluate", "says"),
    [
        ({}, "needs evaluate.inception, the path of a weights file: take pt_inception-2015-12-05-6726825d.pth"),
        ({"inception": "nowhere/inception.pth"}, "no weights file 'nowhere/inception.pth'; take pt_inception"),
        ({"inception": "{folder}/inception.pth"}, "did you mean {folder}/inception.safetensors?"),
        ({"inception": "{folder}/torchvision.safetensors"}, "1000 classes are those of the Inception of torchvision"),
        ({"inception": "{folder}/lacking.safetensors"}, "no tensor Mixed_7c.branch_pool.bn.running_var"),
        ({"inception": "{folder}/broken.safetensors"}, "fc.weight holds numbers that are no weights"),
        ({"inception": "setup.py"}, "is no safetensors, torch or flax msgpack file"),
    ],
)
def test_what_is_not_the_network_is_refused(tensors, tmp_path, evaluate, says):
    """By the config's key, with what is wrong with the file and what to take."""
    (tmp_path / "inception.safetensors").write_bytes(b"")
    changed = {
        "torchvision": tensors | {"fc.weight": np.zeros((1000, 2048), np.float32)},
        "lacking": {name: value for name, value in tensors.items() if name != "Mixed_7c.branch_pool.bn.running_var"},
        "broken": tensors | {"fc.weight": np.full((1008, 2048), np.nan, np.float32)},
    }
    for name, each in changed.items():
        if name in evaluate.get("inception", ""):
            safetensors.save_file(each, tmp_path / f"{name}.safetensors")
    settings = config(**{key: value.format(folder=tmp_path) for key, value in evaluate.items()})
    with pytest.raises(ConfigError) as refused:
        feature_space(settings, digits()[0])
    assert says.format(folder=tmp_path) in str(refused.value)
    assert refused.value.exit_code == 2


ONE_ARM = """
from configs.toy2d import moons

def get_config():
    config = moons.get_config()
    config.arms = {"vp": {}}
    return config
"""


def test_points_have_no_inception_features(tmp_path, capsys):
    """Refused before anything is trained or written."""
    config = tmp_path / "arm.py"
    config.write_text(ONE_ARM)
    more = ["--config.evaluate.features=inception", "--config.evaluate.inception=no.pth"]
    assert main(["compare", f"--config={config}", f"--workdir={tmp_path / 'out'}", *more]) == 2
    assert "needs images of 1 or 3 channels, not (2,): take 'pixels'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_says_fid_and_all_that_it_depends_on(weights, network, monkeypatch, tmp_path):
    """From end to end, but for the network's arithmetic; against the training images, with the held-out ones for reference."""
    monkeypatch.setattr(inception, "embed", flattened)
    common = ["--config=configs/digits/vp.py:tiny", f"--workdir={tmp_path}"]
    assert main(["train", *common]) == 0
    more = ["features=inception", f"inception={weights}", "real=train"]
    assert main(["evaluate", *common, *(f"--config.evaluate.{each}" for each in more)]) == 0
    assert len(list((tmp_path / "statistics").glob("*.npz"))) == 1
    results = json.loads((tmp_path / "report.json").read_text())
    assert results["distance"] == "FID"
    assert results["reference"]["of"] == "held-out images"
    row = results["arms"][0]["samplers"][0]
    assert all(np.isfinite(row[name]["mean"]) for name in ("frechet", "precision", "recall", "kid", "inception_score"))
    html = (tmp_path / "report.html").read_text()
    for said in (
        "FID ↓",
        "KID × 10³",
        "n = 16 samples of each seed, 0:",
        network.digest,
        "TensorFlow 1",
        results["protocol"][1][1],
    ):
        assert said in html
    assert "is biased up" in html
    assert "this is not FID" not in html
