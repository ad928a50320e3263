"""Archives of data sets, as their authors publish them, a file for each format. ARCHIVES is the registry of `data prepare`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from string import ascii_lowercase, ascii_uppercase, digits
from typing import NamedTuple

from experiments.data.archives.celeba import celeba_64
from experiments.data.archives.cifar import cifar10, cifar100
from experiments.data.archives.contents import Contents
from experiments.data.archives.files import Files
from experiments.data.archives.idx import read_idx
from experiments.data.archives.imagenet import imagenet
from experiments.data.archives.svhn import svhn_cropped


class Archive(NamedTuple):
    """A data set as published: how its files are read, its version, where it is, and its files with their SHA-256.

    The sums are those that tensorflow-datasets has for what it downloads. `in_tfds`: TFDS has the same examples by that name.
    """

    read: Callable[[Files], Contents]
    version: str
    page: str
    sums: dict[str, str]
    in_tfds: bool = True


CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
MERGED = digits + ascii_uppercase + "abdefghnqrt"
"""The classes of EMNIST if the small letters that look like capitals count as these."""
CHARACTERS = {
    "balanced": MERGED,
    "byclass": digits + ascii_uppercase + ascii_lowercase,
    "bymerge": MERGED,
    "digits": digits,
    "letters": ("no letter", *ascii_uppercase),
    "mnist": digits,
}
"""The classes of each part of EMNIST; the letters begin at 1."""


def _mnist(classes: str | tuple[str, ...], page: str, *sums: str) -> Archive:
    """One of four files with MNIST's names, and the sums of these in the order of their names."""
    files = ("t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1")
    read = partial(read_idx, prefixes={"train": "train", "test": "t10k"}, classes=tuple(classes))
    return Archive(read, "3.0.1", page, {f"{file}-ubyte.gz": each for file, each in zip(files, sums, strict=True)})


def _emnist(part: str) -> Archive:
    prefixes = {split: f"emnist-{part}-{split}" for split in ("train", "test")}
    return Archive(
        partial(read_idx, prefixes=prefixes, classes=tuple(CHARACTERS[part])),
        "3.1.0",
        "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        {"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
    )


ARCHIVES: dict[str, Archive] = {
    "cifar10": Archive(
        cifar10,
        "3.0.2",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ),
    "cifar100": Archive(
        cifar100,
        "3.0.2",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
    ),
    "mnist": _mnist(
        digits,
        "http://yann.lecun.com/exdb/mnist",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "fashion_mnist": _mnist(
        CLOTHES,
        "https://github.com/zalandoresearch/fashion-mnist",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "kmnist": _mnist(
        KANA,
        "http://codh.rois.ac.jp/kmnist",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    **{f"emnist/{part}": _emnist(part) for part in CHARACTERS},
    "svhn_cropped": Archive(
        svhn_cropped,
        "3.1.0",
        "http://ufldl.stanford.edu/housenumbers",
        {
            "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            "extra_32x32.mat": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
        },
    ),
    "celeba_64": Archive(
        celeba_64,
        "1.0.0",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        {"img_align_celeba.zip": "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"},
        in_tfds=False,
    ),
    "imagenet_resized/32x32": Archive(
        partial(imagenet, side=32),
        "0.1.0",
        "https://image-net.org/download-images.php",
        {
            "Imagenet32_train_npz.zip": "94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc",
            "Imagenet32_val_npz.zip": "013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a",
        },
    ),
    "imagenet_resized/64x64": Archive(
        partial(imagenet, side=64),
        "0.1.0",
        "https://image-net.org/download-images.php",
        {
            "Imagenet64_train_part1_npz.zip": "9422dc1dc5d092e9814a70a1cb7fc74880d2db5d88a0cb8a34ee363b12bde3f1",
            "Imagenet64_train_part2_npz.zip": "9fafc115afb7e6c301e66dc16b2d737152b427bd5dab26e1293487a6819c7f30",
            "Imagenet64_val_npz.zip": "e1e75133158a1924135a9c6f97a80d2d237b158945e0b34074e58e6c8430eeb8",
        },
    ),
}
"""The data sets by data.name, with the splits, labels and versions that they have in TFDS."""
