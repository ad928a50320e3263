"""The server of the page. A signal ends it."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from experiments.build.summary import network_size
from experiments.data.views import visible_part
from experiments.page.address import LOOPBACK
from experiments.page.live import Live
from experiments.page.process import LiveProcess
from experiments.page.sheet import view_of
from experiments.page.tab import About, Tab
from experiments.runtime.progress import say
from experiments.runtime.signals import stop

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" shape-rendering="crispEdges"><path fill="#33658a"
d="M0 0h8v8H0z"/><path fill="#fff" d="M3 1h2v1h1v4H5v1H3V6H2V2h1zm0 1v4h2V2z"/></svg>"""


class Own:
    """An ASGI app for its own page alone: it refuses requests of another site's page, by its own name or by ours.

    `hosts`: the names of this machine that requests may use; none: any.
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


def serve(runs: list[Live], listener: socket.socket, anyone: bool) -> None:
    """Serves a page for each of the runs until a signal comes, and on each the way to the others.

    `anyone`: the socket is not for this machine alone.
    """
    worker = ThreadPoolExecutor(1, "sampling")
    titles = {f"/{i or ''}": live.experiment.config.title for i, live in enumerate(runs)}
    for (path, title), live in zip(titles.items(), runs, strict=True):
        others = {there: words for there, words in titles.items() if there != path}
        process = LiveProcess(live.experiment, live.params)
        ui.page(path, title=title)(partial(Tab, process, live.held_out, About(title, _subtitle(live), others), worker))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    address, port = listener.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    app.add_middleware(Own, hosts=() if anyone else (*LOOPBACK, host))
    ui.run_with(app, favicon=ICON, tailwind=False, show_welcome_message=False)
    # The server has its own thread: signals stay with experiments.runtime.signals, as in every command.
    server = uvicorn.Server(uvicorn.Config(app, loop="asyncio", log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    say(f"demo: http://{host}:{port} (Ctrl-C ends it)")
    try:
        while thread.is_alive() and not stop.asked:
            thread.join(0.1)
    finally:
        server.should_exit = True
        thread.join()
        worker.shutdown(cancel_futures=True)


def _subtitle(live: Live) -> str:
    """The SDE, the network and the step of a run, what is shown of an event if it is not all, and the range of floats."""
    config, shape, scaler = live.experiment.config, live.experiment.shape, live.experiment.scaler
    ranges = "" if scaler.levels else view_of(scaler, shape).words(shape)
    network = f"{config.net.name}, {network_size(live.experiment):,} parameters"
    words = (config.sde.name, network, f"step {live.step:,}", str(live.folder), visible_part(shape), ranges)
    return " · ".join(filter(None, words))
