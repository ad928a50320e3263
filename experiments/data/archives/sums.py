"""The sums of an archive's files against the published ones, so that nobody trains for days on another file."""

from __future__ import annotations

from hashlib import sha256

from experiments.data.archives import ARCHIVES
from experiments.data.archives.files import Files, Member, damaged
from experiments.runtime.errors import DataError, printable
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import stop

CHUNK = 2**20


def check_sums(name: str, files: Files) -> None:
    """Says whether the files are those that are published for the data set of this name.

    Others are as good as what they hold, and a line says so. DataError if one is another data set's: MNIST's kin share names.
    """
    wanted = ARCHIVES[name].sums
    owners = {each: other for other, archive in ARCHIVES.items() for each in archive.sums.values()}
    at_hand, others = [files.member(each) for each in wanted if each in files], {}
    if not at_hand and files.itself is not None:
        at_hand = [files.itself]
    for member in at_hand:
        its = _sum(member)
        if its not in wanted.values() and its in owners:
            raise DataError(f"{files.place}: {printable(member.path)} is that of {owners[its]}, not of {name}")
        if its not in wanted.values():
            others[member.path] = its
    for path, its in others.items():
        say(f"warning: {path} (sha256 {its[:16]}...) is not as published for {name}: prepared from what it holds")
    if not at_hand:
        say(f"warning: {files.place} holds no published file, whose sum could be checked: prepared from what it holds")
    elif not others:
        say(f"as published, by sha256: {', '.join(member.name for member in at_hand)}")


def _sum(member: Member) -> str:
    content, read = sha256(), 0
    label = f"sha256 of {printable(member.name)}"
    with damaged(member.path), member.open() as stream, progress(label, member.size) as show:
        while chunk := stream.read(CHUNK):
            content.update(chunk)
            read += len(chunk)
            show(read, "")
            stop.check()
    return content.hexdigest()
