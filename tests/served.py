"""The app itself behind a real HTTP server, in this process, so that tests see and set what it sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from twisted.internet import reactor

from tests.factories import PATIENCE_S
from tests.ports import free_port


@contextmanager
def serving() -> Iterator[str]:
    """Serve with Daphne in a thread; the address. Once a process at most: Twisted's reactor runs only once."""
    port = free_port()
    server = Server(
        application=get_default_application(),
        endpoints=build_endpoint_description_strings(host="127.0.0.1", port=port),
        signal_handlers=False,
        application_close_timeout=2,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"
    finally:
        reactor.callFromThread(server.stop)  # type: ignore[attr-defined]
        thread.join()


def _wait_for(url: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            requests.get(url, timeout=PATIENCE_S).raise_for_status()
        except requests.ConnectionError:
            assert time.monotonic() < deadline_s, "the server did not start"
            time.sleep(0.02)
        else:
            return
