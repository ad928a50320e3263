"""The file of LPIPS: VGG16's convolutions by the names of torchvision or of lpips, and the heads, if they are there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments.runtime.errors import StorageError
from experiments.weights.layout import Layout, Tensors, from_published
from experiments.weights.tensors import read_tensors
from models import VGG
from models.build import abstract
from models.networks.vgg import CONVOLUTIONS

NUMBERS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Those of torchvision's layers that are convolutions, by resolution."""
OTHERS = r"^classifier\.|^scaling_layer\."
COPIES = (r"^lins\.(\d)\.", r"lin\1.")
"""A version of lpips holds each head twice."""


def read_lpips(path: Path) -> tuple[partial[VGG], dict[str, Any]]:
    """Returns the builder of the network, as wide as the file says, and {"net": its parameters, "heads": [C] of each, or none}.

    Raises StorageError if the file is another's, or holds a number that is not finite.
    """
    tensors = read_tensors(path)
    names = [[f"features.{n}" for n in numbers] for numbers in NUMBERS]
    if not any(name.startswith("features.") for name in tensors):
        names = [[f"net.slice{i}.{n}" for n in numbers] for i, numbers in enumerate(NUMBERS, start=1)]
    widths = tuple(_outputs(tensors, level[0], path) for level in names)
    net = partial(VGG, widths=widths)  # pyright: ignore[reportArgumentType]
    like: dict[str, Any] = {"net": nnx.to_pure_dict(nnx.state(abstract(net, (16, 16, 3)), nnx.Param))}
    if "lin0.model.1.weight" in tensors:
        like["heads"] = {i: jax.ShapeDtypeStruct((width,), np.float32) for i, width in enumerate(widths)}
    places = {f"net.levels.{i}.{j}": names[i][j] for i, n in enumerate(CONVOLUTIONS) for j in range(n)}
    places |= {f"heads.{i}": f"lin{i}.model.1.weight" for i in range(len(widths))}
    params = from_published(like, Layout(places, OTHERS, COPIES), tensors, str(path))
    params = jax.tree.map(lambda a: np.asarray(a, np.float32), params)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise StorageError(f"{path} holds numbers that are not finite")
    return net, params | {"heads": list(params["heads"].values()) if "heads" in params else None}


def _outputs(tensors: Tensors, name: str, path: Path) -> int:
    """The channels that a convolution of the file emits."""
    weight = tensors.get(f"{name}.weight")
    if weight is None or weight.ndim != 4:
        raise StorageError(f"{path} holds no convolution {name}.weight of VGG16, by the names of torchvision or of lpips")
    return len(weight)
