"""demo: serve a local page that samples a run, live, and inpaints with a brush."""

from __future__ import annotations

import argparse
import socket

from experiments.page.address import opened
from experiments.runtime.errors import ConfigError


def door(arguments: argparse.Namespace) -> socket.socket:
    """Where the page will be served. ConfigError, before all else, where it cannot be."""
    try:
        import nicegui  # noqa: F401 of an extra
    except ImportError as error:
        raise ConfigError("demo shows its page by NiceGUI, which is not installed: pip install -e .[page]") from error
    return opened(arguments.host, arguments.port, arguments.anyone)
