"""Samples as files: a sheet of the first, all of them as arrays that the source `npz` reads, and images one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from experiments.build.sampler import BoundSampler
from experiments.config.classes import class_name
from experiments.data.pictures import picture
from experiments.runtime import processes
from experiments.runtime.files import replacing
from experiments.runtime.lazy_arrays import FileArray, blocks, save_npz
from experiments.sampling.draw import SHOWN, Samples, joined, save_images


def write_samples(parts: Iterable[Samples], sampler: BoundSampler, path: Path) -> Samples:
    """Writes the sheet `path`, and STEM.npz beside it; if `sample.pngs` says so, also STEM/[CLASS/]NUMBER.png of each sample.

    The arrays are `image` [n, *event], uint8 of 0 to 255 or float32 in the units of the data, and `label` [n], `classes` and
    the `caption` of the first ones, if there are any. A part of the samples is in memory at a time; the samples that are
    returned have the events of the sheet alone. Raises NumericsError, and leaves no file, if a sample is not finite.
    """
    image, on_sheet, room = FileArray(path.parent), [], SHOWN
    for part in parts:
        if processes.first():
            image.append(sampler.experiment.scaler.display(part.levels))
        levels = part.levels if part.levels.ndim == 2 else part.levels[:room].copy()
        on_sheet.append(part._replace(levels=levels, beside=part.beside.first(room)))
        room = max(0, room - len(part.levels))
    samples = joined(on_sheet)
    save_images(samples, sampler.experiment, path)
    if not processes.first():
        return samples
    label = sampler.labels(len(image))
    arrays: dict[str, np.ndarray | FileArray] = {"image": image} | ({} if label is None else {"label": label})
    if label is not None and sampler.names:
        arrays["classes"] = np.array(sampler.names)
    if samples.beside.captions:
        arrays["caption"] = np.array(samples.beside.captions)
    with replacing(path.with_suffix(".npz")) as file:
        save_npz(file, arrays)
    if sampler.experiment.config.sample.pngs:
        folders = [""] * len(image) if label is None else [_folder(y, sampler.names) for y in label.tolist()]
        _write_pngs(chain.from_iterable(blocks(image)), folders, path.with_suffix(""))
    return samples


def _folder(y: int, names: tuple[str, ...]) -> str:
    """The name of class `y` if it can be that of a folder, as a stranger may have chosen it; else its number, or "class 2"."""
    name = class_name(y, names)
    if names.count(name) == 1 and re.fullmatch(r"\w[\w .+-]*", name):
        return name
    number = str(y)
    while number in names:  # which another class is called
        number = f"class {number}"
    return number


def _write_pngs(images: Iterable[np.ndarray], folders: list[str], root: Path) -> None:
    for of_another_setting in root.rglob("[0-9]" * 6 + ".png"):
        of_another_setting.unlink()
    for i, (pixels, folder) in enumerate(zip(images, folders, strict=True)):
        with replacing(root / folder / f"{i:06d}.png") as part:
            picture(pixels[None], columns=1, scale=1).save(part)
