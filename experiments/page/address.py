"""The address of the page: a port of this machine, for this machine alone unless `anyone` may come."""

from __future__ import annotations

import ipaddress
import socket

from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def opened(host: str, port: int, anyone: bool) -> socket.socket:
    """A socket that listens on (host, port); port 0: any that is free.

    ConfigError if there is no such host, if it lets others in without `anyone`, or if the port is taken: it names a free one.
    """
    if not 0 <= port < 2**16:
        raise ConfigError(f"--port={port}: ports are 1 to 65535; 0 takes any that is free")
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host={host} --port={port}: no such address ({error}); take --host=127.0.0.1") from error
    if not ipaddress.ip_address(address := str(place[0])).is_loopback:
        if not anyone:
            raise ConfigError(
                [
                    f"--host={host} lets others than this machine in, and the page asks nobody who they are",
                    f"from elsewhere, `ssh -L {port}:127.0.0.1:{port} HERE` needs no open port; if you mean it, add --anyone",
                ]
            )
        say(f"warning: whoever reaches {host} port {port} can use this page, and this machine's time")
    listener = _bound(family, address, port)
    if not isinstance(listener, OSError):
        return listener
    for candidate in range(port + 1, min(port + 100, 65536)):
        other = _bound(family, address, candidate)
        if not isinstance(other, OSError):
            other.close()
            raise ConfigError(f"--port={port}: {listener.strerror}; {candidate} is free")
    raise ConfigError(f"--port={port}: {listener.strerror}; --port=0 takes any that is free")


def _bound(family: int, address: str, port: int) -> socket.socket | OSError:
    """A listening socket, or the error that prevents it."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen()
    except OSError as error:
        listener.close()
        return error
    return listener
