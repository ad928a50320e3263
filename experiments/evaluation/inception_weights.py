"""The weights of FID's Inception, from a file of the user's: with 1008 classes, and each norm folded into its convolution."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.config.messages import in_words, suggestion
from experiments.evaluation.inception import NETWORK, SIDE, Convolution, Images, Params, convolution, outputs
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home, is_file, is_folder
from experiments.weights.tensors import read_tensors

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""The hash of the published file; torch-fidelity calls it weights-inception-2015-12-05-6726825d.pth."""
IGNORED = r"num_batches_tracked$|^fc\.bias$"
"""Tensors of the file that are not needed; the Inception score is of logits without their bias."""
CLASSES, EPSILON = 1008, 1e-3
NORM = ("weight", "bias", "running_mean", "running_var")


@cache
def published_shapes() -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in the published files that the features and logits need.

    Our convolution `name` is their `name.conv.weight`, [O, I, h, w], after `name.bn`, and `fc` is `fc.weight`: 94 + 1 modules.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def convolve(layer: Convolution, x: Images) -> Images:
        shapes[f"{layer.name}.conv.weight"] = (layer.channels, x.shape[-1], *layer.size)
        shapes.update({f"{layer.name}.bn.{part}": (layer.channels,) for part in NORM})
        return convolution(layer, jnp.zeros((*layer.size, x.shape[-1], layer.channels)), x)

    last = jax.eval_shape(lambda x: list(outputs(NETWORK, x, convolve))[-1][1], jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), float))
    return shapes | {"fc.weight": (CLASSES, last.shape[-1])}


class Inception(NamedTuple):
    """Folded weights. `digest` is a hash of the tensors, whatever the file; `official`: it is the published file."""

    params: Params
    digest: str
    official: bool

    def logits(self, features: Float[np.ndarray, "n 2048"]) -> Float[np.ndarray, "n 1008"]:
        """The class logits without their bias, for the Inception score."""
        return features @ self.params["fc"]["kernel"]


@cache
def load(path: str) -> Inception:
    """Reads the network from a weights file: pytorch-fid's or torch-fidelity's .pth, or its tensors as .safetensors.

    Raises ConfigError for a file that is missing, or holds another network.
    """
    file = home(path)
    wanted = f"take {FILE}, of pytorch-fid's or torch-fidelity's releases; nothing is downloaded here"
    if not path:
        raise ConfigError(f"evaluate.features = 'inception' needs evaluate.inception, the path of a weights file: {wanted}")
    if not is_file(file):
        near = file.parent.glob("*") if is_folder(file.parent) else ()
        beside = sorted(str(p) for p in near if p.suffix in (".pth", ".pt", ".safetensors"))
        raise ConfigError(f"evaluate.inception: no weights file {in_words(path)}{suggestion(path, beside)}; {wanted}")
    try:
        tensors = {name: value for name, value in read_tensors(file).items() if not re.search(IGNORED, name)}
    except StorageError as error:
        raise ConfigError([f"evaluate.inception: {line}" for line in str(error).splitlines()]) from error
    if problems := list(_unlike(tensors)):
        raise ConfigError([f"evaluate.inception: {path} is not FID's Inception; {wanted}", *problems[:3]])
    digest = sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}".encode() + tensors[name].astype("<f4").tobytes())
    return Inception(_folded(tensors), digest.hexdigest()[:16], sha256(file.read_bytes()).hexdigest() == SHA256)


def _unlike(tensors: dict[str, np.ndarray]) -> Iterator[str]:
    """The differences between the tensors and those of the network, a line each."""
    shapes = published_shapes()
    if (fc := tensors.get("fc.weight")) is not None and fc.shape[:1] == (1000,):
        yield "1000 classes are those of the Inception of torchvision and timm, and FID's has 1008"
    for name, shape in shapes.items():
        if name not in tensors:
            yield f"no tensor {name}"
        elif tensors[name].shape != shape:
            yield f"{name} has the shape {tensors[name].shape}, not {shape}"
        elif not np.isfinite(tensors[name]).all() or (name.endswith("running_var") and (tensors[name] < 0).any()):
            yield f"{name} holds numbers that are no weights"
    yield from (f"tensor {name} has no place" for name in sorted(tensors.keys() - shapes))


def _folded(tensors: dict[str, np.ndarray]) -> Params:
    """(W * x - mean) gamma/sqrt(var + epsilon) + beta as one W' * x + b', and the logits' kernel."""
    params: Params = {"fc": {"kernel": tensors["fc.weight"].T.astype(np.float32)}}
    for name in (n.removesuffix(".conv.weight") for n in tensors if n.endswith(".conv.weight")):
        gamma, beta, mean, variance = (tensors[f"{name}.bn.{part}"].astype(np.float64) for part in NORM)
        scale = gamma / np.sqrt(variance + EPSILON)
        kernel = tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        params[name] = {"kernel": kernel.astype(np.float32), "bias": (beta - mean * scale).astype(np.float32)}
    return params
