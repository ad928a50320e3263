"""Commands in forks of one process that has imported everything: each begins where a new interpreter is after seconds."""

import json
import os
import select
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TextIO

from source_files import ROOT

from experiments.runtime import startup

# A line on stdin is a command; the first answer is its process, the second how that ended. One at a time: it is waited for.
SERVER = """
import json, os, signal, sys
import matplotlib.figure
from experiments.main import main
from experiments.runtime.signals import listen
for line in sys.stdin:
    argv, env, out, err = json.loads(line)
    pid = os.fork()
    if pid == 0:
        for number, (file, flags) in enumerate([(os.devnull, os.O_RDONLY), (out, os.O_WRONLY), (err, os.O_WRONLY)]):
            os.dup2(os.open(file, flags), number)
        os.environ.update(env)
        sys.path[:0] = env["PYTHONPATH"].split(":")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        listen()
        sys.exit(main(argv))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Forked:
    """A command of `python -m experiments`, with what is used here of subprocess.Popen."""

    last: "Forked | None" = None

    def __init__(self, argv: list[str], env: dict[str, str], out: Path, err: Path):
        if Forked.last and Forked.last.poll() is None:  # of a test that failed
            Forked.last.kill()
            Forked.last.wait()
        self.args, self.returncode = argv, None
        self._question, self._answer = server(env["JAX_COMPILATION_CACHE_DIR"])
        print(json.dumps([argv, env, str(out), str(err)]), file=self._question, flush=True)
        self.pid, Forked.last = int(self._answer.readline()), self

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._answer.readline())
        return self.returncode


@cache
def server(compiled: str) -> tuple[TextIO, TextIO]:
    """Where to write commands, and where to read what becomes of them; ends with the process that asks for it."""
    env = os.environ | startup.memory() | {"JAX_COMPILATION_CACHE_DIR": compiled}
    argv = [sys.executable, "-c", SERVER]
    process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=-1, stdout=-1, text=True)
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout
