"""uv, which resolves and builds, and what it says when there is no network."""

import os
import shutil
import sys
from pathlib import Path

import pytest

UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "Connection refused", "network connectivity")
needs_uv = pytest.mark.skipif(not UV, reason="uv is not installed")


def skip_without_network(messages):
    """Skips the test if these messages of uv are of a network that is not there."""
    if any(words in messages for words in UNREACHABLE):
        pytest.skip(f"no network: {messages.strip().splitlines()[-1]}")
