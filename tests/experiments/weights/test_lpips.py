"""A file of LPIPS: the distance that it says, by the definition, under both of the names that its tensors have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import losses
import models
from experiments.runtime.errors import StorageError
from experiments.weights.published.lpips import read_lpips

WIDTHS = (2, 3, 4, 3, 2)
NUMBERS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
SHIFT, SCALE = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
DRAWS = np.random.default_rng(0)


def tensors(torchvision=False, heads=True):
    """Those of a narrow network, drawn at random."""
    every, now = {}, 3
    draws = np.random.default_rng(1)
    for i, (numbers, width) in enumerate(zip(NUMBERS, WIDTHS, strict=True)):
        for n in numbers:
            name = f"features.{n}" if torchvision else f"net.slice{i + 1}.{n}"
            every[f"{name}.weight"] = draws.normal(size=(width, now, 3, 3)).astype(np.float32)
            every[f"{name}.bias"] = draws.normal(size=width).astype(np.float32)
            now = width
        if heads:
            every[f"lin{i}.model.1.weight"] = draws.uniform(size=(1, width, 1, 1)).astype(np.float32)
            every[f"lins.{i}.model.1.weight"] = every[f"lin{i}.model.1.weight"]
    return every | {"scaling_layer.shift": SHIFT.astype(np.float32)}


def convolved(x, weight, bias):
    """W * x + b of [C, H, W] with zeros around, tap by tap."""
    _, height, width = x.shape
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    taps = ((i, j, around[:, i : i + height, j : j + width]) for i in range(3) for j in range(3))
    return sum(np.einsum("oc,chw->ohw", weight[:, :, i, j], part) for i, j, part in taps) + bias[:, None, None]


def by_hand(every, x, y):
    """sum_l mean_space sum_c w_lc (f_lc(x) - f_lc(y))^2 of directions f, of images [H, W, 3] in [-1, 1], in float64."""

    def features(image):
        h = ((image - SHIFT) / SCALE).transpose(2, 0, 1)
        for i, numbers in enumerate(NUMBERS):
            if i:
                c, height, width = h.shape
                h = h.reshape(c, height // 2, 2, width // 2, 2).max((2, 4))
            for n in numbers:
                weight, bias = (every[f"net.slice{i + 1}.{n}.{part}"].astype(np.float64) for part in ("weight", "bias"))
                h = np.maximum(convolved(h, weight, bias), 0)
            yield h / (np.sqrt((h**2).sum(0, keepdims=True)) + 1e-10)

    heads = (every[f"lin{i}.model.1.weight"].reshape(-1, 1, 1) for i in range(5))
    pairs = zip(heads, features(x), features(y), strict=True)
    return sum((w * (f - g) ** 2).sum(0).mean() for w, f, g in pairs)


@pytest.fixture
def file(tmp_path):
    save_file(tensors(), tmp_path / "lpips.safetensors")
    return tmp_path / "lpips.safetensors"


def distance(file):
    net, params = read_lpips(file)
    params = jax.tree.map(jnp.asarray, params)
    features = models.features(net)
    return losses.perceptual(lambda x: features(params["net"], x), params["heads"])


def test_the_distance_is_lpips_by_hand(file):
    x, y = DRAWS.uniform(-1, 1, (2, 16, 16, 3))
    ours = jax.jit(distance(file))(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    assert float(ours) == pytest.approx(by_hand(tensors(), x, y), rel=1e-4)


def test_the_names_of_torchvision_are_those_of_the_same_network(file, tmp_path):
    save_file(tensors(torchvision=True), tmp_path / "torchvision.safetensors")
    ours, theirs = (read_lpips(path)[1] for path in (file, tmp_path / "torchvision.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_without_heads_every_channel_counts_alike(tmp_path):
    save_file(tensors(heads=False), tmp_path / "vgg.safetensors")
    assert read_lpips(tmp_path / "vgg.safetensors")[1]["heads"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"net.slice3.12.bias": None}, "no tensor net.slice3.12.bias"),
        ({"net.slice1.0.weight": None}, "holds no convolution net.slice1.0.weight of VGG16"),
        ({"lins.2.model.1.weight": np.ones((1, 4, 1, 1), np.float32)}, "is no copy of lin2"),
        ({"net.slice2.5.bias": np.full(3, np.nan, np.float32)}, "not finite"),
    ],
)
def test_a_file_of_something_else_is_refused(change, words, tmp_path):
    every = tensors() | change
    save_file({name: tensor for name, tensor in every.items() if tensor is not None}, tmp_path / "x.safetensors")
    with pytest.raises(StorageError, match=words):
        read_lpips(tmp_path / "x.safetensors")


@pytest.mark.slow
def test_the_published_size():
    """14,714,688 parameters: VGG16's without its dense layers."""
    from flax import nnx

    from models.build import abstract

    net = nnx.state(abstract(models.VGG, (64, 64, 3)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(net)) == 14_714_688
