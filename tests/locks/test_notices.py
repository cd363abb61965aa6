"""Wake-ups between processes: heard through PostgreSQL, from one thread that lives as long as somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from swarm.locks import notices
from swarm.locks.notices import CHANNEL, Listener, listening, wake_on_commit
from swarm.locks.waiting import WaitingRoom, waiting_room
from tests.factories import PATIENCE_S, in_thread, wait_until
from tests.postgresql_server import postgresql_server

NAME = "swarm-claims-listener"


def is_listening() -> bool:
    return any(thread.name == NAME for thread in threading.enumerate())


@contextmanager
def counted_notices() -> Iterator[list[str]]:
    """The entries that are told of through the database inside the block."""
    heard: list[str] = []
    with notices._connect() as other:
        other.execute(f"LISTEN {CHANNEL}")
        yield heard
        heard += [notice.payload for notice in other.notifies(timeout=0.2)]


@pytest.mark.django_db(transaction=True)
def test_a_waiter_of_this_process_is_woken_when_the_change_is_committed_and_not_before() -> None:
    with waiting_room.seat([7]) as bell:
        with transaction.atomic():
            wake_on_commit(7)
            assert not bell.is_set()
        assert bell.is_set()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_only_what_is_meant_for_another_process_is_sent_through_the_database() -> None:
    with counted_notices() as sent, waiting_room.seat([7]), transaction.atomic():
        wake_on_commit(7)
        wake_on_commit(8)
    assert sent == ["8"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_wakes_nobody_anywhere() -> None:
    with counted_notices() as sent, waiting_room.seat([7]) as bell, transaction.atomic():
        wake_on_commit(7)
        wake_on_commit(8)
        transaction.set_rollback(True)
    assert (sent, bell.is_set()) == ([], False)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_thread_listens_while_anybody_waits() -> None:
    wait_until(lambda: not is_listening())
    with listening():
        with listening():
            assert [thread.name for thread in threading.enumerate()].count(NAME) == 1
        assert is_listening()
    wait_until(lambda: not is_listening())
    with listening():
        assert is_listening()
    wait_until(lambda: not is_listening())
    assert count_listening_connections() == 0


def count_listening_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_nothing_listens_where_the_database_tells_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    with listening():
        assert not is_listening()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_restart_of_the_database_is_survived_and_everybody_is_woken_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said while nobody could listen is lost: so all look at their rows once the database is back."""
    monkeypatch.setattr(notices, "RETRY_S", 0.05)
    room = WaitingRoom()
    with postgresql_server() as server:
        connect = lambda: connection.Database.connect(server.get_uri(), autocommit=True)  # noqa: E731
        with Listener(room, connect).listening(), room.seat([7]) as bell:
            assert not bell.is_set()
            server.stop()
            server.start()
            assert bell.wait(PATIENCE_S)
            bell.clear()
            with connect() as other:
                other.execute("SELECT pg_notify(%s, %s)", [CHANNEL, "7"])
            assert bell.wait(PATIENCE_S)
    wait_until(lambda: not is_listening())


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_database_that_cannot_be_reached_keeps_nobody_from_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "RETRY_S", 3600.0)

    def connect() -> Any:
        raise connection.Database.OperationalError("no route")

    def wait() -> bool:
        with Listener(WaitingRoom(), connect).listening():
            return True

    assert in_thread(wait).result(PATIENCE_S)
    wait_until(lambda: not is_listening())
