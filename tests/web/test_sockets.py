"""The sockets of the contract: who may connect, replay, and each event exactly once, in order, without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from swarm.events.record import record_outside_executions, recording
from swarm.models import ApiToken, Execution
from swarm.web import cursors, sockets
from tests.factories import NOBODYS_ID, PATIENCE_S, in_thread, make_execution, make_node

pytestmark = pytest.mark.django_db(transaction=True)

Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def session(viewer: User) -> Headers:
    client = Client()
    client.force_login(viewer)
    return [(b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode())]


@pytest.fixture
def execution(db: None) -> Execution:
    return make_execution()


def record(execution: Execution, *numbers: int) -> None:
    for number in numbers:
        with recording(execution.pk) as event:
            event("swarm:progress", number=number)


class Browser:
    """A client of one socket."""

    def __init__(self, path: str, headers: Headers) -> None:
        self._socket = WebsocketCommunicator(sockets.websocket_application, path, headers)

    async def __aenter__(self) -> Browser:
        self.is_accepted, _ = await self._socket.connect(PATIENCE_S)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._socket.disconnect(timeout=PATIENCE_S)

    async def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self._socket.receive_json_from(PATIENCE_S)
        return frame

    async def seqs(self, count: int) -> list[int]:
        return [(await self.frame())["seq"] for _ in range(count)]

    async def is_silent(self) -> bool:
        return bool(await self._socket.receive_nothing(0.2))

    async def close_code(self) -> int:
        message = await self._socket.receive_output(PATIENCE_S)
        assert message["type"] == "websocket.close"
        code: int = message["code"]
        return code


def run(test: Callable[[], Awaitable[None]]) -> None:
    async_to_sync(test)()


def url_of(execution: Execution, after: str | None = None) -> str:
    return f"/ws/swarm/{execution.pk}/" + (f"?after={after}" if after is not None else "")


def test_a_frame_has_the_form_of_the_contract(execution: Execution, session: Headers) -> None:
    node = make_node(execution)
    with recording(execution.pk) as event:
        event("swarm:node-started", node, attempt=1)
    recorded = execution.events.get()

    async def test() -> None:
        async with Browser(url_of(execution, "0"), session) as browser:
            assert await browser.frame() == {
                "type": "swarm:node-started",
                "execution": str(execution.pk),
                "seq": 1,
                "at": recorded.at.isoformat().replace("+00:00", "Z"),
                "node": str(node.pk),
                "data": {"attempt": 1},
            }

    run(test)


def test_after_replays_what_was_recorded_behind_it(execution: Execution, session: Headers) -> None:
    record(execution, *range(5))

    async def test() -> None:
        async with Browser(url_of(execution, "2"), session) as browser:
            assert await browser.seqs(3) == [3, 4, 5]
            assert await browser.is_silent()

    run(test)


def test_without_after_the_socket_starts_with_the_next_event(execution: Execution, session: Headers) -> None:
    record(execution, 1, 2)

    async def test() -> None:
        async with Browser(url_of(execution), session) as browser:
            assert await browser.is_silent()
            await database_sync_to_async(record)(execution, 3)
            assert await browser.seqs(1) == [3]

    run(test)


def test_a_replay_longer_than_one_read_arrives_whole(
    execution: Execution, session: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "CHUNK", 3)
    monkeypatch.setattr(sockets, "CHUNK", 3)
    record(execution, *range(8))

    async def test() -> None:
        async with Browser(url_of(execution, "0"), session) as browser:
            assert await browser.seqs(8) == list(range(1, 9))

    run(test)


@pytest.mark.parametrize("path", ["/ws/swarm/", "execution"])
def test_events_recorded_by_threads_meanwhile_arrive_once_in_order_without_a_gap(
    execution: Execution, session: Headers, path: str
) -> None:
    """Four threads record while two browsers replay and follow: the numbers leave no room for a mistake."""
    path = url_of(execution, "0") if path == "execution" else path
    threads, each = 4, 25

    async def test() -> None:
        async with Browser(path, session) as first, Browser(path, session) as second:
            writers = [in_thread(lambda: record(execution, *range(each))) for _ in range(threads)]
            expected = list(range(1, threads * each + 1))
            assert await asyncio.gather(first.seqs(threads * each), second.seqs(threads * each)) == [expected, expected]
            assert await first.is_silent()
            await asyncio.gather(*map(asyncio.wrap_future, writers))

    run(test)


def test_a_lost_ring_is_made_good_by_the_tick(
    execution: Execution, session: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "TICK_S", 0.05)
    monkeypatch.setattr("swarm.events.record.doorbell.ring", lambda subject: None)

    async def test() -> None:
        async with Browser(url_of(execution), session) as one, Browser("/ws/swarm/", session) as every:
            assert await one.is_silent()
            assert await every.is_silent()
            await database_sync_to_async(record)(execution, 1)
            assert await asyncio.gather(one.seqs(1), every.seqs(1)) == [[1], [1]]

    run(test)


def test_the_swarm_socket_follows_old_and_new_executions_and_what_is_outside_them(
    execution: Execution, session: Headers
) -> None:
    record(execution, 1)

    def happen() -> Execution:
        record(execution, 2)
        newcomer = make_execution()
        record(newcomer, 1)
        record_outside_executions("file:locked", path="a.py")
        return newcomer

    async def test() -> None:
        async with Browser("/ws/swarm/", session) as browser:
            assert await browser.is_silent()
            newcomer = await database_sync_to_async(happen)()
            frames = [await browser.frame() for _ in range(3)]
            assert {(frame["type"], frame["execution"], frame["seq"]) for frame in frames} == {
                ("swarm:progress", str(execution.pk), 2),
                ("swarm:progress", str(newcomer.pk), 1),
                ("file:locked", None, None),
            }
            assert await browser.is_silent()

    run(test)


def test_an_execution_socket_hears_nothing_of_others(execution: Execution, session: Headers) -> None:
    async def test() -> None:
        async with Browser(url_of(execution), session) as browser:
            assert await browser.is_silent()
            await database_sync_to_async(lambda: record(make_execution(), 1))()
            assert await browser.is_silent()

    run(test)


def test_a_bearer_token_signs_in(execution: Execution, viewer: User) -> None:
    token = ApiToken.issue(viewer)
    record(execution, 1)

    async def test() -> None:
        async with Browser(url_of(execution, "0"), [(b"authorization", f"Bearer {token}".encode())]) as browser:
            assert await browser.seqs(1) == [1]

    run(test)


@pytest.mark.parametrize("authorization", [None, b"Bearer swarm_wrong", b"Bearer", b"Basic dXNlcjpwYXNz", b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/ws/swarm/", "execution"])
def test_who_is_not_signed_in_is_told_so(execution: Execution, path: str, authorization: bytes | None) -> None:
    headers = [(b"authorization", authorization)] if authorization else []

    async def test() -> None:
        async with Browser(url_of(execution) if path == "execution" else path, headers) as browser:
            assert await browser.close_code() == sockets.NOT_SIGNED_IN

    run(test)


def test_a_wrong_token_is_not_rescued_by_a_session(execution: Execution, session: Headers) -> None:
    async def test() -> None:
        async with Browser(url_of(execution), [*session, (b"authorization", b"Bearer wrong")]) as browser:
            assert await browser.close_code() == sockets.NOT_SIGNED_IN

    run(test)


@pytest.mark.parametrize("path", [f"/ws/swarm/{NOBODYS_ID}/", "/ws/swarm/not-an-id/", "/ws/", "/"])
def test_an_unknown_execution_or_path_is_told_so(path: str, session: Headers) -> None:
    async def test() -> None:
        async with Browser(path, session) as browser:
            assert await browser.close_code() == sockets.UNKNOWN_EXECUTION

    run(test)


@pytest.mark.parametrize("after", ["", "-1", "1.5", "x", "1" * 19, "%C2%B2", "1%00"])
def test_a_bad_after_is_told_so(execution: Execution, session: Headers, after: str) -> None:
    async def test() -> None:
        async with Browser(url_of(execution, after), session) as browser:
            assert await browser.close_code() == sockets.BAD_REQUEST

    run(test)


@pytest.mark.parametrize(
    "origin",
    [b"https://evil.example", b"null", b"http://localhost.evil.example", b"http://[", b""],
)
def test_a_foreign_origin_is_denied_before_the_handshake(execution: Execution, session: Headers, origin: bytes) -> None:
    async def test() -> None:
        browser = Browser(url_of(execution), [*session, (b"origin", origin)])
        await browser.__aenter__()
        assert not browser.is_accepted

    run(test)


@pytest.mark.parametrize("origin", [b"http://localhost:8000", b"https://127.0.0.1", b"http://[::1]:8000"])
def test_our_own_origin_is_allowed(execution: Execution, session: Headers, origin: bytes) -> None:
    record(execution, 1)

    async def test() -> None:
        async with Browser(url_of(execution, "0"), [*session, (b"origin", origin)]) as browser:
            assert await browser.seqs(1) == [1]

    run(test)


def test_a_broken_read_closes_the_socket_so_that_the_client_comes_back(
    execution: Execution, session: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(self: cursors.ExecutionCursor, subjects: object) -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr(cursors.ExecutionCursor, "read", break_down)

    async def test() -> None:
        async with Browser(url_of(execution), session) as browser:
            assert await browser.close_code() == sockets.SERVER_ERROR

    run(test)


def test_what_a_client_says_is_ignored(execution: Execution, session: Headers) -> None:
    record(execution, 1)

    async def test() -> None:
        async with Browser(url_of(execution, "0"), session) as browser:
            await browser._socket.send_to(text_data="{")
            assert await browser.seqs(1) == [1]

    run(test)


def test_no_task_outlives_its_socket(execution: Execution, session: Headers) -> None:
    async def test() -> None:
        before = asyncio.all_tasks()
        async with Browser(url_of(execution, "0"), session):
            pass
        assert asyncio.all_tasks() <= before

    run(test)
