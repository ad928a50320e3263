"""One of several processes has a parent, which turns jaxlib's abort into an exit code and a line.

jaxlib aborts a process whose peers are gone, from any of its threads. No handler of Python's may run there, so that a process
beside it waits: it is the one that the user started and sends signals to.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress

from experiments.runtime.errors import StorageError
from experiments.runtime.signals import SIGNALS, Interrupted
from experiments.runtime.streams import STDERR

AGAIN = "start them all again by the same command, which goes on from the last checkpoint"
LINK = "ONESDE_PARENT"
"""The variable that tells a child of its parent: the parent's process id, and the descriptor that `report` writes to."""
PR_SET_PDEATHSIG = 1

_parent: tuple[int, int] | None = None


def supervise(name: str, environment: dict[str, str]) -> int:
    """Runs this same command as a child and returns its exit code; `name` begins the line about an abort.

    An abort becomes the code that the child had reported; else 75 if it was asked to stop, or 5. Signals go to the child.
    """
    signals: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: object) -> None:
        signals.append(number)
        if child is not None:
            child.send_signal(number)

    for number in SIGNALS:
        signal.signal(number, forward)
    reader, writer = os.pipe()
    link = {LINK: f"{os.getpid()},{writer}", "TF_CPP_MIN_LOG_LEVEL": "4"}  # or jaxlib says a page before it aborts
    command = [sys.executable, *sys.orig_argv[1:]]
    child = subprocess.Popen(command, env=link | os.environ | environment, pass_fds=[writer])
    for number in signals[:]:  # they came before there was a child
        child.send_signal(number)
    os.close(writer)
    code = child.wait()
    if code == -signal.SIGABRT:
        if report := os.read(reader, 1):
            return report[0]
        why = "stopped" if signals else "another process is gone, or did not come"
        print(f"{name}: {why} (TF_CPP_MIN_LOG_LEVEL=0 shows what jaxlib says of it)\n{AGAIN}", file=STDERR, flush=True)
        return Interrupted.exit_code if signals else StorageError.exit_code
    if code < 0:  # this process ends by the same signal
        with suppress(OSError):  # SIGKILL has no other handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def follow() -> bool:
    """Returns whether this process has a parent here; if so it ends with it, even if that is killed (on Linux)."""
    global _parent
    if LINK not in os.environ:
        return False
    pid, descriptor = map(int, os.environ.pop(LINK).split(","))
    _parent = pid, descriptor
    os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != pid:  # it died before
        sys.exit(StorageError.exit_code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # an abort is no fault here
    return True


def started() -> int:
    """The id of the process that the user started: the parent's, or this one's."""
    return _parent[0] if _parent else os.getpid()


def report(code: int) -> None:
    """Tells the parent with what code this process is ending, in case that jaxlib aborts it before it has."""
    if _parent:
        with suppress(OSError):
            os.write(_parent[1], bytes([code]))
