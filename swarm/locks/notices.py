"""Carries wake-ups to the process in which the waiting thread sleeps: this one, or by PostgreSQL's NOTIFY another.

Each process that has waiting threads listens, from one thread with a connection outside Django's pool. Only what is
meant for somebody in another process is sent at all: a NOTIFY in every commit would make them queue for each other.
What gets lost, while the connection is gone, is found by the waiters' own slow tick.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import structlog
from django.db import Error, connection, transaction

from swarm.locks.waiting import WaitingRoom, waiting_room

log = structlog.get_logger(__name__)

CHANNEL = "swarm_claims"
CONNECT_S = 5
"""How long a connection may take to be made, in seconds."""
RETRY_S = 1.0
"""How long the listener waits before it connects again."""
READY_S = 2.0
"""How long a waiter waits for the listener to listen before it looks at its rows all the same."""


def wake_on_commit(entry: int) -> None:
    """Wake whoever waits for this queue entry, wherever that is, once the current transaction is committed."""
    if waiting_room.has(entry):
        transaction.on_commit(lambda: waiting_room.wake(entry))
    elif connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(entry)])


class Listener:
    """Passes what is heard on to a waiting room; a thread does so while anybody is inside `listening`."""

    def __init__(self, room: WaitingRoom, connect: Callable[[], Any]) -> None:
        self._room = room
        self._connect = connect
        self._mutex = threading.Lock()
        self._users = 0
        self._ear: _Ear | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen until the block ends; it begins once the database is listened to, or cannot be for the moment."""
        with self._mutex:
            self._users += 1
            if self._ear is None:
                self._ear = _Ear(self._room, self._connect)
            ear = self._ear
        try:
            ear.has_tried.wait(READY_S)
            yield
        finally:
            last = None
            with self._mutex:
                self._users -= 1
                if not self._users:
                    last, self._ear = self._ear, None
            if last is not None:
                last.stop()


class _Ear:
    """The listening thread, from its start to `stop`."""

    def __init__(self, room: WaitingRoom, connect: Callable[[], Any]) -> None:
        self.has_tried = threading.Event()
        self._room = room
        self._connect = connect
        self._stopping = threading.Event()
        self._stop_sender, self._stop_receiver = socket.socketpair()
        threading.Thread(target=self._listen, name="swarm-claims-listener", daemon=True).start()

    def stop(self) -> None:
        """End the thread, which closes its connection, without waiting for it: whoever waited has work to do."""
        self._stopping.set()
        self._stop_sender.close()

    def _listen(self) -> None:
        with self._stop_receiver:
            self._keep_listening()

    def _keep_listening(self) -> None:
        while not self._stopping.is_set():
            try:
                with connection.wrap_database_errors, self._connect() as heard:
                    heard.execute(f"LISTEN {CHANNEL}")
                    self._room.wake_all()  # what was said while nobody listened
                    self.has_tried.set()
                    self._pass_on(heard)
            except Error as error:
                log.warning("claims.listener_lost", error=str(error))
                self.has_tried.set()
                self._stopping.wait(RETRY_S)

    def _pass_on(self, heard: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(heard, selectors.EVENT_READ)
            selector.register(self._stop_receiver, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                for notice in heard.notifies(timeout=0):
                    self._room.wake(int(notice.payload))


def _connect() -> Any:
    """A psycopg connection to Django's database that no pool knows of; by way of Django, which may lack psycopg."""
    parameters = {"connect_timeout": CONNECT_S, **connection.get_connection_params(), "autocommit": True}
    return connection.Database.connect(**parameters)  # type: ignore[attr-defined]


_listener = Listener(waiting_room, _connect)


def listening() -> AbstractContextManager[None]:
    """Hear of other processes' hand-overs inside the block, where the database can tell of them."""
    return _listener.listening() if connection.vendor == "postgresql" else nullcontext()
