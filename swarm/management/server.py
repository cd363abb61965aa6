"""Serves HTTP and WebSockets with Daphne, in this process, until it is told to stop.

At the first SIGINT or SIGTERM the nodes end their turns while the server still serves, for their calls go through it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import structlog
from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server, twisted_loop
from django.conf import settings
from django.core.management import CommandError
from django.db import connections
from django.http.request import validate_host
from twisted.internet import reactor

from swarm.chat.gateway import close_gateway
from swarm.engine.chat_over_http import ChatAddress
from swarm.engine.lifecycle import shut_down
from swarm.engine.model_client import model_door
from swarm.engine.recovery import Recovery
from swarm.engine.story_watch import recording_story_changes
from swarm.management.signals import on_first_signal

log = structlog.get_logger(__name__)


def run_server(host: str, port: int, on_ready: Callable[[], Any]) -> None:
    """Serve on `host` and `port`; `on_ready` is called once connections are accepted. Returns after SIGINT or SIGTERM.

    Its nodes go back into the queue then, for the next server, within SWARM_DRAIN_TIMEOUT seconds. Raises
    `CommandError` if the address cannot be used.
    """

    def ready() -> None:
        model_door.serve_at(own_chat(host, port))
        on_ready()

    server = Server(
        application=get_default_application(),
        endpoints=build_endpoint_description_strings(host=host, port=port),
        ready_callable=ready,
        server_name="swarm",
        application_close_timeout=2,
        signal_handlers=False,
    )
    recovery = Recovery()
    recovery.start()
    try:
        with recording_story_changes(), on_first_signal(_stop):
            server.run()
    finally:
        recovery.stop()
        _end_sockets()
        shut_down()
        model_door.close()
        close_gateway()
    if not server.listening_addresses:
        raise CommandError(f"{host}:{port} cannot be used; is another server running there? Choose another --port.")


def _stop(signal_number: int) -> None:
    """Stop the nodes, then the server: they call it, and must not take its end for a failure of the model."""
    threading.Thread(target=_drain, args=[signal_number], name="swarm-drain", daemon=True).start()


def _drain(signal_number: int) -> None:
    log.info("server.draining", seconds=settings.SWARM_DRAIN_TIMEOUT)
    try:
        if not shut_down(settings.SWARM_DRAIN_TIMEOUT):
            os._exit(128 + signal_number)  # a thread that cannot be stopped would keep the interpreter from ending
    finally:
        connections.close_all()
    reactor.callFromThread(reactor.stop)  # type: ignore[misc]  # zope's methods lack self


def own_chat(host: str, port: int) -> ChatAddress:
    """This server's /api/chat as its own nodes reach it: over loopback, however the world reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound to
    host = f"[{host}]" if ":" in host else host
    headers = {}
    if settings.ALLOWED_HOSTS and not validate_host(host, settings.ALLOWED_HOSTS):
        headers["Host"] = settings.ALLOWED_HOSTS[0].removeprefix(".")
    if settings.SECURE_SSL_REDIRECT:
        headers["X-Forwarded-Proto"] = "https"
    return ChatAddress(f"http://{host}:{port}/api/chat", headers, is_own=True)


def _end_sockets() -> None:
    """Let the consumers of open sockets end; left over, they crash the interpreter as it exits (CPython 3.11)."""
    twisted_loop.run_until_complete(_cancel(asyncio.all_tasks(twisted_loop)))


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
