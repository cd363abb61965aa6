"""The WebSockets: `/ws/swarm/` follows everything, `/ws/swarm/{execution_id}/` one execution.

A socket subscribes to the doorbell first and reads rows afterwards, so nothing falls between the two. It reads again on
each ring and on a slow tick, because a ring may get lost and another process may have none.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import structlog
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http.request import split_domain_port, validate_host
from django.urls import path, re_path

from swarm.events.doorbell import ALL, doorbell, group_of
from swarm.models import ApiToken, Execution
from swarm.web.cursors import CHUNK, Cursor, ExecutionCursor, Subject, SwarmCursor, frame_of

log = structlog.get_logger(__name__)

TICK_S = 2.0
PAUSE_S = 0.05
"""Rest between two reads: at most 20 batches a second reach one browser."""

BAD_REQUEST, NOT_SIGNED_IN, UNKNOWN_EXECUTION, SERVER_ERROR = 4400, 4401, 4404, 1011

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: scope, receive, send."""


class Refused(Exception):
    """The socket cannot be served; `code` is the close code that tells the client why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class EventsConsumer(AsyncWebsocketConsumer):
    """Sends recorded events to one client. What it follows is decided by `open_cursor`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.groups = [self.group(scope)]
        self._subjects: set[Subject] = set()
        self._bell = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._pump:
                self._pump.cancel()
                await asyncio.gather(self._pump, return_exceptions=True)

    def group(self, scope: Any) -> str:
        """The doorbell group that Channels subscribes to before it calls `connect`."""
        raise NotImplementedError

    def open_cursor(self) -> Cursor:
        """A cursor at the place where the client wants to start. Raises `Refused`. Touches the database."""
        raise NotImplementedError

    async def connect(self) -> None:
        doorbell.use_loop(asyncio.get_running_loop())
        try:
            user = self.scope["user"]
            if user is None or not user.is_authenticated:
                raise Refused(NOT_SIGNED_IN)
            # Before the handshake ends: what is recorded once the client knows that it is connected will arrive.
            cursor = await database_sync_to_async(self.open_cursor)()
        except Refused as refused:
            # A browser sees the close code only of a socket that was accepted first.
            await self.accept()
            await self.close(refused.code)
        else:
            await self.accept()
            self._pump = asyncio.create_task(self._send_events(cursor))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Clients have nothing to say."""

    async def swarm_news(self, message: dict[str, Any]) -> None:
        """The doorbell rang."""
        subject = message["subject"]
        self._subjects.add(subject if isinstance(subject, int) else uuid.UUID(subject))
        self._bell.set()

    async def _send_events(self, cursor: Cursor) -> None:
        try:
            while True:
                subjects, self._subjects = self._subjects, set()
                self._bell.clear()
                events = await database_sync_to_async(cursor.read)(subjects)
                for event in events:
                    await self.send(text_data=frame_of(event))
                await asyncio.sleep(PAUSE_S)
                if len(events) < CHUNK:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(TICK_S):
                            await self._bell.wait()
        except Exception:
            # The top of this task: nobody else would hear of it. The client comes back and asks from its last number.
            log.exception("socket.failed")
            await self.close(SERVER_ERROR)


class SwarmConsumer(EventsConsumer):
    """`/ws/swarm/`"""

    def group(self, _scope: Any) -> str:
        return ALL

    def open_cursor(self) -> Cursor:
        return SwarmCursor()


class ExecutionConsumer(EventsConsumer):
    """`/ws/swarm/{execution_id}/?after=SEQ`; without `after` it starts with the next event."""

    def group(self, scope: Any) -> str:
        self._execution_id: uuid.UUID = scope["url_route"]["kwargs"]["execution_id"]
        return group_of(self._execution_id)

    def open_cursor(self) -> Cursor:
        last_seq = Execution.objects.filter(pk=self._execution_id).values_list("last_seq", flat=True).first()
        if last_seq is None:
            raise Refused(UNKNOWN_EXECUTION)
        return ExecutionCursor(self._execution_id, self._after(default=last_seq))

    def _after(self, default: int) -> int:
        query = parse_qs(self.scope["query_string"].decode("latin1"), keep_blank_values=True)
        if "after" not in query:
            return default
        text = query["after"][-1]
        # 18 digits fit the database's 64-bit column.
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Refused(BAD_REQUEST)
        return int(text)


class UnknownConsumer(AsyncWebsocketConsumer):
    """Any other path."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(UNKNOWN_EXECUTION)


def with_allowed_origin(application: Application) -> Application:
    """Deny the handshake of a page that was served by a host other than ours; programs send no `Origin`."""

    async def check_origin(scope: Any, receive: Any, send: Any) -> None:
        origin = _header(scope, b"origin")
        if origin is None or _is_allowed_origin(origin):
            await application(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    return check_origin


def with_token_user(application: Application) -> Application:
    """Let `Authorization: Bearer TOKEN` decide who the user is, where it is sent."""

    async def find_user(scope: Any, receive: Any, send: Any) -> None:
        scheme, _, token = (_header(scope, b"authorization") or "").partition(" ")
        if scheme:
            owner = await database_sync_to_async(ApiToken.owner)(token.strip()) if scheme.lower() == "bearer" else None
            scope = scope | {"user": owner or AnonymousUser()}
        await application(scope, receive, send)

    return find_user


def _header(scope: Any, name: bytes) -> str | None:
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return values[-1].decode("latin1") if values else None


def _is_allowed_origin(origin: str) -> bool:
    try:
        domain, _port = split_domain_port(urlsplit(origin).netloc)
    except ValueError:
        return False
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


# Django's types know only routes to views.
_routes: Any = [
    path("ws/swarm/", cast(Any, SwarmConsumer.as_asgi())),
    path("ws/swarm/<uuid:execution_id>/", cast(Any, ExecutionConsumer.as_asgi())),
    re_path("", cast(Any, UnknownConsumer.as_asgi())),
]
_signed_in: Any = AuthMiddlewareStack(cast(Any, with_token_user(cast(Any, URLRouter(_routes)))))
websocket_application = with_allowed_origin(_signed_in)
