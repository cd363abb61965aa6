"""The doorbell: from threads to a Channels group on the sockets' loop; merged, never lost, never in the way."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from django.test import override_settings

from swarm.events.doorbell import ALL, Doorbell, group_of
from tests.factories import PATIENCE_S, run_threads

EXECUTIONS = [uuid.UUID(int=number) for number in range(5)]


class Listener:
    """A socket's end of the channel layer."""

    def __init__(self, layer: InMemoryChannelLayer, channel: str) -> None:
        self._layer, self._channel = layer, channel

    async def hear(self) -> Any:
        message = await asyncio.wait_for(self._layer.receive(self._channel), PATIENCE_S)
        assert message["type"] == "swarm.news"
        return message["subject"]


@asynccontextmanager
async def listening(group: str) -> AsyncIterator[Listener]:
    layer = get_channel_layer()
    assert isinstance(layer, InMemoryChannelLayer)
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    yield Listener(layer, channel)
    await layer.group_discard(group, channel)


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell()


@pytest.fixture
def dead_redis() -> Iterator[None]:
    """A channel layer whose server has gone: the port was free a moment ago and nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [("127.0.0.1", port)]}}
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        channel_layers.backends.clear()
        yield
    channel_layers.backends.clear()


def test_a_ring_reaches_the_sockets_of_its_execution_and_those_of_all(doorbell: Doorbell) -> None:
    async def scenario() -> list[Any]:
        groups = listening(ALL), listening(group_of(EXECUTIONS[0])), listening(group_of(EXECUTIONS[1]))
        async with groups[0] as everything, groups[1] as one, groups[2] as other:
            doorbell.use_loop(asyncio.get_running_loop())
            await asyncio.to_thread(doorbell.ring, EXECUTIONS[0])
            heard = [await everything.hear(), await one.hear()]
            await asyncio.to_thread(doorbell.ring, EXECUTIONS[1])
            return [*heard, await other.hear()]

    assert asyncio.run(scenario()) == [str(EXECUTIONS[0]), str(EXECUTIONS[0]), str(EXECUTIONS[1])]


def test_a_ring_for_an_event_outside_executions_reaches_the_sockets_of_all(doorbell: Doorbell) -> None:
    async def scenario() -> Any:
        async with listening(ALL) as everything:
            doorbell.use_loop(asyncio.get_running_loop())
            doorbell.ring(7)
            return await everything.hear()

    assert asyncio.run(scenario()) == 7


def ring_in_a_burst(doorbell: Doorbell) -> None:
    def ring() -> None:
        for number in range(500):
            doorbell.ring(EXECUTIONS[number % len(EXECUTIONS)])

    works: list[Callable[[], None]] = [ring] * 8
    run_threads(works)


def test_rings_that_come_faster_than_the_loop_takes_them_are_merged(doorbell: Doorbell) -> None:
    async def scenario() -> list[Any]:
        async with listening(ALL) as everything:
            doorbell.use_loop(asyncio.get_running_loop())
            ring_in_a_burst(doorbell)  # on the loop's own thread, so that the loop stands still meanwhile
            heard = [await everything.hear() for _ in EXECUTIONS]
            doorbell.ring(7)
            return [*heard, await everything.hear()]

    *heard, last = asyncio.run(scenario())
    assert sorted(heard) == [str(execution) for execution in EXECUTIONS]
    assert last == 7


def test_of_a_burst_from_many_threads_the_last_news_of_each_execution_is_heard(doorbell: Doorbell) -> None:
    """A listener reads on from where it was at each ring; in the end it must have read everything."""
    written: Counter[str] = Counter()

    def write_and_ring(execution: uuid.UUID) -> None:
        for _ in range(300):
            written[str(execution)] += 1
            doorbell.ring(execution)

    async def scenario() -> Counter[str]:
        read: Counter[str] = Counter()
        async with listening(ALL) as everything:
            doorbell.use_loop(asyncio.get_running_loop())
            writers = asyncio.create_task(
                asyncio.to_thread(run_threads, [partial(write_and_ring, it) for it in EXECUTIONS])
            )
            while read.total() < 300 * len(EXECUTIONS):
                subject = await everything.hear()
                read[subject] = written[subject]
            await writers
        return read

    assert asyncio.run(scenario()) == Counter({str(execution): 300 for execution in EXECUTIONS})


def test_without_a_loop_nobody_listens_and_nothing_goes_wrong(doorbell: Doorbell) -> None:
    doorbell.ring(EXECUTIONS[0])


def test_a_new_loop_is_rung_although_the_old_one_ended_with_rings_unsent(doorbell: Doorbell) -> None:
    async def end_without_sending() -> None:
        doorbell.use_loop(asyncio.get_running_loop())

    async def scenario() -> Any:
        async with listening(ALL) as everything:
            doorbell.use_loop(asyncio.get_running_loop())
            doorbell.ring(EXECUTIONS[1])
            return await everything.hear()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(end_without_sending())
    doorbell.ring(EXECUTIONS[0])
    loop.close()
    doorbell.ring(EXECUTIONS[0])
    assert asyncio.run(scenario()) == str(EXECUTIONS[1])


def test_a_loop_that_has_ended_is_not_rung(doorbell: Doorbell) -> None:
    async def open_and_close() -> None:
        doorbell.use_loop(asyncio.get_running_loop())

    asyncio.run(open_and_close())
    doorbell.ring(EXECUTIONS[0])


@pytest.mark.usefixtures("dead_redis")
def test_a_dead_redis_does_not_harm_the_one_who_rings(doorbell: Doorbell) -> None:
    doorbell.ring(EXECUTIONS[0])
    doorbell.ring(7)
