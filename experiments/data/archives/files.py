"""The files of an archive, read where they are, in a folder, a zip or a tar: nothing is unpacked to the disk."""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from experiments.config.messages import shorten
from experiments.runtime.errors import DataError, UserError, printable
from experiments.runtime.paths import is_file, is_folder
from experiments.runtime.signals import Interrupted


class Member(NamedTuple):
    """A file of an archive: its path there, its size in bytes, and how to open it."""

    path: str
    size: int
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


class Files:
    """The files of an archive by their names, whatever folders of it they are in; `itself` is the archive, if it is a file."""

    def __init__(self, place: Path, itself: Member | None, members: list[Member]):
        self.place, self.itself = printable(place), itself
        self._named: dict[str, list[Member]] = defaultdict(list)
        for member in members:
            self._named[member.name].append(member)

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def matching(self, pattern: str) -> list[str]:
        """Returns the names that match all of a regular expression, of which 9 comes before 10."""
        return sorted((name for name in self._named if re.fullmatch(pattern, name)), key=lambda name: (len(name), name))

    def member(self, name: str) -> Member:
        """Returns the one file of that name. DataError if there is none, or more than one."""
        there = self._named.get(name, [])
        if len(there) != 1:
            held = f"{len(there)} files {name}" if there else f"no {name}"
            others = ", ".join(list(self._named)[:5]) or "nothing"
            raise DataError(f"{self.place} holds {held}; it holds {shorten(printable(others), 200)}")
        return there[0]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Yields the bytes of the one file of that name. DataError if it turns out to be damaged in the block."""
        member = self.member(name)
        with damaged(f"{self.place}: {member.path}"), member.open() as stream:
            yield stream


@contextmanager
def damaged(name: str) -> Iterator[None]:
    """Raises DataError with the name of the file for whatever a reader raises of bytes that are not what they should be."""
    try:
        yield
    except (UserError, Interrupted, MemoryError):
        raise
    except Exception as error:  # of damaged files readers raise anything
        if isinstance(error, OSError) and error.errno is not None:  # the disk's
            raise
        why = printable(f"{type(error).__name__}: {' '.join(str(error).split())}")[:200]
        raise DataError(f"{printable(name)} is damaged, or not as published ({why})") from error


@contextmanager
def open_files(place: Path, published: Collection[str] = ()) -> Iterator[Files]:
    """Yields the files of a folder, of a zip or of a tar; or one file that is neither.

    Of a folder also those in its own zips and tars whose names are `published`. DataError if there is nothing at `place`, or if
    an archive names a place outside of itself.
    """
    with ExitStack() as stack:
        if is_folder(place):
            outer = _of_folder(place)
            inner = [member for each in outer if each.name in published for member in _inside(place / each.path, stack)]
            yield Files(place, None, outer + inner)
        elif is_file(place):
            itself = Member(place.name, place.stat().st_size, lambda: place.open("rb"))
            yield Files(place, itself, _inside(place, stack) or [itself])
        else:
            raise DataError(f"--from={shorten(printable(place), 300)}: there is no such file or folder")


def _of_folder(root: Path) -> list[Member]:
    """All files under a folder, in the order of their paths."""

    def refuse(error: OSError) -> None:
        raise DataError(f"the folder {printable(error.filename)} cannot be read: {error.strerror}")

    paths = [Path(place, name) for place, _, names in os.walk(root, onerror=refuse) for name in names]
    files = [path for path in sorted(paths) if is_file(path)]
    return [Member(str(path.relative_to(root)), path.stat().st_size, lambda path=path: path.open("rb")) for path in files]


def _inside(path: Path, stack: ExitStack) -> list[Member]:
    """The files in a zip or a tar, which the stack closes; none of another file."""
    with damaged(str(path)):
        if zipfile.is_zipfile(path):
            return _of_zip(stack.enter_context(zipfile.ZipFile(path)), path)
        if tarfile.is_tarfile(path):
            return _of_tar(stack.enter_context(tarfile.open(path)), path)
    return []


def _of_zip(archive: zipfile.ZipFile, path: Path) -> list[Member]:
    members = []
    for info in archive.infolist():
        _refuse_outside(path, info.filename)
        if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
            raise DataError(f"{printable(path)}: {printable(info.filename)} is a link or encrypted, as no published file is")
        if not info.is_dir():
            members.append(Member(info.filename, info.file_size, lambda info=info: archive.open(info)))
    return members


def _of_tar(archive: tarfile.TarFile, path: Path) -> list[Member]:
    members = []
    for info in archive.getmembers():
        _refuse_outside(path, info.name)
        if not info.isfile() and not info.isdir():
            raise DataError(f"{printable(path)}: {printable(info.name)} is a link or a device, as no published file is")
        if info.isfile():
            members.append(Member(info.name, info.size, lambda info=info: archive.extractfile(info)))  # pyright: ignore
    return members


def _refuse_outside(path: Path, name: str) -> None:
    """DataError if a member names a place outside of its archive, though none is written."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or re.match("[A-Za-z]:", name):
        raise DataError(f"{printable(path)} names {shorten(printable(name))}, a place outside of itself: nothing of it is read")
