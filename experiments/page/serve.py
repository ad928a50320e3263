"""The server of the page, from a trained run to its end by a signal."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from experiments.build.experiment import Experiment
from experiments.build.state import State
from experiments.build.summary import network_size
from experiments.page.address import LOOPBACK
from experiments.page.process import Reverse
from experiments.page.tab import Tab
from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say
from experiments.runtime.signals import stop

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" shape-rendering="crispEdges"><path fill="#33658a"
d="M0 0h8v8H0z"/><path fill="#fff" d="M3 1h2v1h1v4H5v1H3V6H2V2h1zm0 1v4h2V2z"/></svg>"""


class Own:
    """An ASGI app for its own page alone: what another site's page asks for, by its own name or by ours, is refused.

    `hosts`: the names that this machine is asked by; none: any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]):
        self.app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._is_own(Headers(scope=scope)):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("this page is for its own address alone", 403)(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return (not self._hosts or name in self._hosts) and origin in (None, f"http://{host}")


def serve(experiment: Experiment, state: State, held_out: np.ndarray, run: Path, listener: socket.socket, anyone: bool) -> None:
    """Serves the page of a run until a signal comes. ConfigError where its data are neither images nor points in the plane.

    `held_out` [M, *event]: levels to paint on; there may be none. `anyone`: the socket is not for this machine alone.
    """
    config, shape = experiment.config, experiment.shape
    if not (len(shape) == 3 and shape[2] in (1, 3)) and shape != (2,):
        raise ConfigError(f"demo shows images of 1 or 3 channels and points in the plane; the events of {run} are {shape}")
    subtitle = (
        f"{config.sde.name} · {config.net.name}, {network_size(experiment):,} parameters · step {int(state.step):,} · {run}"
    )
    reverse, worker = Reverse(experiment, state.ema), ThreadPoolExecutor(1, "sampling")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    app.add_middleware(Own, hosts=() if anyone else (*LOOPBACK, shown))
    ui.page("/", title=config.title)(lambda: Tab(reverse, held_out, (config.title, subtitle), worker))
    ui.run_with(app, favicon=ICON, tailwind=False, show_welcome_message=False)
    # In a thread beside: signals stay experiments.runtime.signals's, whose words and exit code are those of every command.
    server = uvicorn.Server(uvicorn.Config(app, loop="asyncio", log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    say(f"demo: http://{shown}:{port} (Ctrl-C ends it)")
    try:
        while thread.is_alive() and not stop.asked:
            thread.join(0.1)
    finally:
        server.should_exit = True
        thread.join()
        worker.shutdown(cancel_futures=True)
