"""What cannot be said ends nothing; and who ends in the middle of a line gives the terminal back."""

import io
import os
import sys

import pytest
from rich.console import Console

from experiments.runtime import progress as progress_module
from experiments.runtime.progress import progress, say
from experiments.runtime.signals import stop
from experiments.runtime.streams import STDERR


def closed_pipe():
    """The end to write to of a pipe whose reader has gone, as that of `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("place", [closed_pipe, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["pipe", "disk"])
def test_a_log_that_cannot_be_written_is_lost_and_said_to_be_once(place, monkeypatch, capsys):
    lost = os.fdopen(place(), "w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", lost)
        for i in range(3):
            say(f"line {i}")
        with progress("train", 3, every=0.0) as show:
            show(1, "on")
    lost.close()  # and what Python holds back is no error at the end
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: standard output is lost (")
    assert line.endswith("; the work goes on")


def test_with_both_streams_lost_or_none_nothing_ends(monkeypatch):
    for stream in (os.fdopen(closed_pipe(), "w"), None):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            say("line")
            print("line", file=STDERR, flush=True)


def test_what_an_encoding_lacks_is_escaped(monkeypatch):
    """And a name is a name, though it be an emoji's."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", ascii_only)
        say("Fréchet 8×8 in run:on:gpu :x: [b]")
    assert ascii_only.buffer.getvalue() == rb"Fr\xe9chet 8\xd78 in run:on:gpu :x: [b]" + b"\n"


def test_a_process_that_is_ended_beside_its_bar_shows_the_cursor(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(progress_module, "console", Console(file=terminal, force_terminal=True))
    with progress("train", 10) as show:
        show(1, "")
        assert "\x1b[?25h" not in terminal.getvalue()
        (last,) = stop.last_words
        last("stopped at once")
        shown = terminal.getvalue()
    assert shown.index("\x1b[?25l") < shown.index("\x1b[?25h")
    assert shown.endswith(("\n", "\x1b[?25h"))
