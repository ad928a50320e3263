"""A subcommand plugs in as one file and one line; every subcommand has the same three parts."""

import re
import shlex
import types
from pathlib import Path

import pytest

from experiments import commands, main
from experiments.commands import arguments


def test_a_subcommand_is_a_module_and_a_line_of_the_table(monkeypatch, capsys):
    """A module with HELP, ARGUMENTS and run is in the help, parses its own words, and gets the overrides."""
    calls = []
    greet = types.SimpleNamespace(
        HELP="greet a run",
        ARGUMENTS=(arguments.run, lambda parser: parser.add_argument("--loud", action="store_true")),
        run=calls.append,
    )
    monkeypatch.setitem(main.TABLE, "greet", greet)
    assert main.main(["greet", "runs/x", "--loud", "--config.seed=3"]) == 0
    (call,) = calls
    assert (str(call.options.run), call.options.loud, call.overrides) == ("runs/x", True, ["--config.seed=3"])
    assert call.line == "python -m experiments greet runs/x --loud --config.seed=3"
    with pytest.raises(SystemExit):
        main.main(["--help"])
    assert "greet a run" in capsys.readouterr().out


def test_a_path_of_a_command_line_is_what_a_shell_makes_of_it(monkeypatch, capsys):
    """With ~ as the home folder; the line that is recorded can be typed again; and no name is no folder."""
    calls = []
    monkeypatch.setitem(
        main.TABLE, "greet", types.SimpleNamespace(HELP="greet", ARGUMENTS=(arguments.workdir,), run=calls.append)
    )
    monkeypatch.setenv("HOME", "/home/[me]")
    argv = ["greet", "--workdir=~/a b", "--config.title='x'"]
    assert main.main(argv) == 0
    assert calls[0].options.workdir == Path("/home/[me]/a b")
    assert shlex.split(calls[0].line) == ["python", "-m", "experiments", *argv]
    for text, reason in (("", "it names no folder"), ("~no one/x", "~no one/x")):
        with pytest.raises(SystemExit):
            main.main(["greet", f"--workdir={text}"])
        assert reason in capsys.readouterr().err


def test_one_that_takes_no_overrides_says_so(monkeypatch, capsys):
    plain = types.SimpleNamespace(HELP="do nothing", ARGUMENTS=(), OVERRIDES=False, run=lambda call: None)
    monkeypatch.setitem(main.TABLE, "plain", plain)
    assert main.main(["plain"]) == 0
    with pytest.raises(SystemExit) as exit_:
        main.main(["plain", "--config.seed=3"])
    assert exit_.value.code == 2
    assert "plain takes no --config.seed=3" in capsys.readouterr().err


@pytest.mark.parametrize("name", main.TABLE)
def test_every_subcommand_has_the_three_parts(name):
    """A sentence for the help, functions that add arguments, and run(call), in a file of commands/ that its docstring names."""
    command = main.TABLE[name]
    assert command.__name__.startswith(f"{commands.__name__}.")
    assert re.match(rf"{name}: \w", command.__doc__)
    assert command.HELP[0].islower()
    assert not command.HELP.endswith(".")
    assert all(map(callable, command.ARGUMENTS))
    assert callable(command.run)
