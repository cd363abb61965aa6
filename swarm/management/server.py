"""Serves HTTP and WebSockets with Daphne, in this process, until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server, twisted_loop
from django.core.management import CommandError

from swarm.chat.gateway import close_gateway
from swarm.engine.lifecycle import shut_down
from swarm.engine.recovery import Recovery
from swarm.engine.story_watch import recording_story_changes


def run_server(host: str, port: int, on_ready: Callable[[], Any]) -> None:
    """Serve on `host` and `port`; `on_ready` is called once connections are accepted. Returns after SIGINT or SIGTERM.

    Its nodes go back into the queue then, for the next server. Raises `CommandError` if the address cannot be used.
    """
    server = Server(
        application=get_default_application(),
        endpoints=build_endpoint_description_strings(host=host, port=port),
        ready_callable=on_ready,
        server_name="swarm",
        application_close_timeout=2,
    )
    recovery = Recovery()
    recovery.start()
    try:
        with recording_story_changes():
            server.run()
    finally:
        recovery.stop()
        _end_sockets()
        shut_down()
        close_gateway()
    if not server.listening_addresses:
        raise CommandError(f"{host}:{port} cannot be used; is another server running there? Choose another --port.")


def _end_sockets() -> None:
    """Let the consumers of open sockets end; left over, they crash the interpreter as it exits (CPython 3.11)."""
    twisted_loop.run_until_complete(_cancel(asyncio.all_tasks(twisted_loop)))


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
