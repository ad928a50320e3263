"""Small archives in each published format, byte by byte, beside what is in them; and the data sets prepared from them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.io import savemat

from experiments.config.schema import Data
from experiments.data.prepare import prepare
from experiments.data.sources import open_sources


class Truth(NamedTuple):
    """Images [n, H, W, C], and their labels."""

    images: np.ndarray
    labels: list[int]


def drawn(n, shape, classes, seed):
    rng = np.random.default_rng(seed)
    return Truth(rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, classes, n).tolist())


def joined(truths: list[Truth]) -> Truth:
    return Truth(np.concatenate([images for images, _ in truths]), [y for _, labels in truths for y in labels])


def tar(path: Path, files: dict[str, bytes], mode="w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def planes(images):
    """[n, 3 H W]: all of one colour before the next."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def records(truth, *labels):
    columns = np.stack([*labels, truth.labels], axis=1).astype(np.uint8)
    return np.concatenate([columns, planes(truth.images)], axis=1).tobytes()


NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar10_files(per_batch=2):
    """The files of CIFAR-10's archive, and their truth by split."""
    batches = [drawn(per_batch, (32, 32, 3), 10, seed) for seed in range(6)]
    files = {f"cifar-10-batches-bin/data_batch_{i + 1}.bin": records(each) for i, each in enumerate(batches[:5])}
    files["cifar-10-batches-bin/test_batch.bin"] = records(batches[5])
    files["cifar-10-batches-bin/batches.meta.txt"] = ("\n".join(NAMES) + "\n\n").encode()
    return files, {"train": joined(batches[:5]), "test": batches[5]}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def mnist_files(n=5, classes=10, names=("train", "t10k"), sides=(28, 28)):
    """The four files of MNIST or of one of its kin, and their truth by split."""
    truths = {split: drawn(n + seed, (*sides, 1), classes, seed) for seed, split in enumerate(("train", "test"))}
    files = {}
    for name, truth in zip(names, truths.values(), strict=True):
        files[f"{name}-images-idx3-ubyte.gz"] = gzip.compress(idx(truth.images[..., 0]))
        files[f"{name}-labels-idx1-ubyte.gz"] = gzip.compress(idx(np.array(truth.labels)))
    return files, truths


def svhn(folder: Path, *splits: str) -> dict[str, Truth]:
    """Writes the files of these splits; the digit 0 is a 10 in them."""
    truths = {split: drawn(12, (32, 32, 3), 10, seed) for seed, split in enumerate(splits)}
    for split, (images, labels) in truths.items():
        y = np.array([label or 10 for label in labels], np.uint8)[:, None]
        savemat(folder / f"{split}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": y}, do_compression=True)
    return truths


def jpeg(seed, size=(178, 218)):
    buffer = io.BytesIO()
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def imagenet_files(side):
    """The archives of ImageNet at a side, each as its files, and their truth by split."""
    batches = [drawn(2, (side, side, 3), 1000, seed) for seed in range(11)]
    content = [npz(data=planes(images), labels=np.array(labels) + 1, mean=np.zeros(3)) for images, labels in batches]
    files = {f"train_data_batch_{i + 1}.npz": each for i, each in enumerate(content[:10])}
    return files, {"val_data.npz": content[10]}, {"train": joined(batches[:10]), "validation": batches[10]}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def prepared(name: str, place: Path, folder: Path, test: str = "test", train: str = "train"):
    """The sources that a config of this data.name opens, once it is prepared from what is at `place`."""
    prepare(name, place, str(folder))
    return open_sources(Data(name=name, data_dir=str(folder), train=train, test=test))


def check(examples, truth: Truth, label="label"):
    """Every pixel and every label, in order."""
    assert len(examples) == len(truth.images)
    for i in range(len(examples)):
        np.testing.assert_array_equal(examples[i]["image"], truth.images[i])
        assert examples[i][label] == truth.labels[i]
