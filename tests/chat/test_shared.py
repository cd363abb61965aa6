"""One limiter for several processes, on a real Redis server that may be killed, as may be the processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Caller, Gateway
from swarm.chat.limiter import Cause, Demand, Limits, Quota, Ticket, Told, commons
from swarm.chat.shared import SharedHome
from swarm.chat.throttle import Throttle
from swarm.errors import Misconfigured
from tests.redis_server import RedisServer, redis_server

KEY = "swarm:limiter:test"
LATE_S = 30.0


@pytest.fixture(scope="module")
def running_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def shared_redis(running_redis: RedisServer) -> RedisServer:
    """A server that knows nothing yet."""
    if running_redis.process is None:
        running_redis.start()
    running_redis.forget()
    return running_redis


@pytest.fixture
def make_throttle(shared_redis: RedisServer) -> Iterator[Callable[..., Throttle]]:
    """Makes throttles as processes of their own would; all share one limiter."""
    made: list[Throttle] = []

    def make(**limits: int) -> Throttle:
        made.append(Throttle(SharedHome(shared_redis.url, KEY, Limits(**limits), lambda: 0.0)))
        return made[-1]

    yield make
    for throttle in made:
        throttle.close()


def acquire(throttle: Throttle, node: str = "n", *, waits: threading.Event | None = None) -> Ticket:
    return throttle.acquire(
        Demand("e", node, is_finishing=False, tokens=1),
        deadline_at=time.monotonic() + LATE_S,
        cancellation=Cancellation(),
        on_wait=lambda reason, expected_s: waits.set() if waits else None,
    )


@contextmanager
def waiting(*throttles: Throttle) -> Iterator[list[Future[Ticket]]]:
    """A call in each throttle, queued in this order."""
    with ThreadPoolExecutor(len(throttles)) as pool:
        calls = []
        for number, throttle in enumerate(throttles):
            waits = threading.Event()
            calls.append(pool.submit(acquire, throttle, str(number), waits=waits))
            assert waits.wait(LATE_S)
        yield calls


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does soon."""
    deadline_at = time.monotonic() + LATE_S
    while not condition():
        assert time.monotonic() < deadline_at
        time.sleep(0.01)


class Worker:
    """A process that shares the limiter, and everything that it has said."""

    def __init__(self, url: str, **options: Any) -> None:
        defaults = {"url": url, "key": KEY, "limits": {}, "threads": 1, "calls": 1, "latency_s": 0.0, "lease_s": 15.0}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chat.shared_worker", json.dumps(defaults | options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def begin(self) -> None:
        until(lambda: bool(self.said))
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Wait for its end, or bring it about if it does not come."""
        try:
            self.process.wait(LATE_S)
        finally:
            self.process.kill()
            self._reader.join()
            self.process.communicate()

    def all(self, kind: str) -> list[Any]:
        return [what[kind] for what in self.said if kind in what]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))


@contextmanager
def workers(url: str, count: int, **options: Any) -> Iterator[list[Worker]]:
    made = [Worker(url, **options) for _ in range(count)]
    try:
        for worker in made:
            until(lambda worker=worker: bool(worker.said))  # type: ignore[misc]
        for worker in made:
            worker.begin()
        yield made
    finally:
        for worker in made:
            worker.end()


def assert_within_budget(sent_at: list[float], rate_per_s: float, burst: float) -> None:
    """No window holds more than a full bucket and what is refilled meanwhile."""
    sent_at = sorted(sent_at)
    for first in range(len(sent_at)):
        for last in range(first, len(sent_at)):
            assert last - first + 1 <= burst + (sent_at[last] - sent_at[first]) * rate_per_s + 1e-3


# Several processes


def test_several_processes_keep_one_budget_together_and_share_it_fairly(shared_redis: RedisServer) -> None:
    options = {"limits": {"requests_per_minute": 2400}, "threads": 8, "calls": 5, "latency_s": 0.01}
    with workers(shared_redis.url, 3, **options) as processes:
        pass
    sent_at = [worker.all("sent_at") for worker in processes]
    assert [len(instants) for instants in sent_at] == [40, 40, 40]
    assert_within_budget([instant for instants in sent_at for instant in instants], 40.0, 40.0)
    in_order = sorted((instant, number) for number, instants in enumerate(sent_at) for instant in instants)
    middle = [number for _, number in in_order[40:80]]
    assert min(middle.count(number) for number in range(3)) >= 10


def test_several_processes_keep_one_cap_together_and_no_wake_up_is_lost(shared_redis: RedisServer) -> None:
    options = {"limits": {"max_in_flight": 3}, "threads": 4, "calls": 10, "latency_s": 0.02}
    with workers(shared_redis.url, 3, **options) as processes:
        pass
    held = [span for worker in processes for span in worker.all("held")]
    assert len(held) == 120
    changes = sorted([(began, 1) for began, _ in held] + [(ended, -1) for _, ended in held])
    in_flight = peak = 0
    for _, change in changes:
        in_flight += change
        peak = max(peak, in_flight)
    assert peak == 3


def test_the_slot_of_a_killed_process_comes_back(
    shared_redis: RedisServer, make_throttle: Callable[..., Throttle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commons, "LEASE_S", 2.0)
    options = {"limits": {"max_in_flight": 1}, "latency_s": 2 * LATE_S, "lease_s": 2.0}
    with workers(shared_redis.url, 1, **options) as [holder]:
        until(lambda: bool(holder.all("sent_at")))
        throttle = make_throttle(max_in_flight=1)
        with waiting(throttle) as [call]:
            holder.process.kill()
            throttle.answered(call.result(LATE_S), Told(), None)
    assert throttle.state()["calls"]["failed"] == 1


def test_calls_go_on_within_the_budget_while_redis_is_killed_and_started_again(shared_redis: RedisServer) -> None:
    options = {"limits": {"requests_per_minute": 2400}, "threads": 5, "calls": 20, "latency_s": 0.01}
    with workers(shared_redis.url, 2, **options) as processes:

        def sent() -> list[float]:
            return [instant for worker in processes for instant in worker.all("sent_at")]

        until(lambda: len(sent()) >= 60)
        shared_redis.kill()
        sent_before = len(sent())
        until(lambda: len(sent()) >= sent_before + 30)
        shared_redis.start()
    assert len(sent()) == 200
    assert_within_budget(sent(), 40.0, 40.0)
    assert [worker.all("state")[0]["is_shared"] for worker in processes] == [True, True]


# What they share


def test_a_slot_freed_by_one_process_wakes_whoever_waited_longest_in_any(
    make_throttle: Callable[..., Throttle],
) -> None:
    one, other = make_throttle(max_in_flight=1), make_throttle(max_in_flight=1)
    held = acquire(one)
    with waiting(other, one) as [first, second]:
        one.answered(held, Told(), None)
        ticket = first.result(LATE_S)
        assert not second.done()
        other.answered(ticket, Told(), None)
        one.answered(second.result(LATE_S), Told(), None)
    assert one.state()["in_flight"] == 0


def test_a_429_of_one_process_pauses_the_others(make_throttle: Callable[..., Throttle]) -> None:
    one, other = make_throttle(), make_throttle()
    refused = acquire(one)
    one.refused(refused, Told(retry_after_s=0.3), Cause.UNCLEAR)
    assert acquire(other).sent_at >= refused.sent_at + 0.3


def test_a_process_that_comes_later_knows_what_was_learnt(make_throttle: Callable[..., Throttle]) -> None:
    first = make_throttle()
    first.answered(acquire(first), Told(requests=Quota(5.0, 4.0)), None)
    first.close()
    limit = make_throttle().state()["limits"]["requests_per_minute"]
    assert (limit["value"], limit["source"]) == (300, "headers")


def test_the_state_shows_the_calls_of_all_processes(make_throttle: Callable[..., Throttle]) -> None:
    one, other = make_throttle(max_in_flight=1), make_throttle(max_in_flight=1)
    held = acquire(one)
    with waiting(other) as [call]:
        state = one.state()
        assert (state["is_shared"], state["processes"], len(state["queue"])) == (True, 2, 1)
        one.answered(held, Told(), None)
        other.answered(call.result(LATE_S), Told(), None)


def test_whatever_redis_forgets_its_processes_remember(
    shared_redis: RedisServer, make_throttle: Callable[..., Throttle]
) -> None:
    one, other = make_throttle(max_in_flight=1), make_throttle(max_in_flight=1)
    held = acquire(one)
    one.state()
    with waiting(other, one) as [first, second]:
        shared_redis.forget()
        until(lambda: len(one.state()["queue"]) == 2)
        assert one.state()["in_flight"] == 1
        one.answered(held, Told(), None)
        until(lambda: first.done() or second.done())
        in_order = [(first, other), (second, one)] if first.done() else [(second, one), (first, other)]
        for call, throttle in in_order:
            throttle.answered(call.result(LATE_S), Told(), None)


def test_what_cannot_be_read_is_replaced(shared_redis: RedisServer, make_throttle: Callable[..., Throttle]) -> None:
    throttle = make_throttle(max_in_flight=1)
    held = acquire(throttle)
    for text in ("{", "{}", '{"limiter": 1}'):
        with redis.Redis.from_url(shared_redis.url) as client:
            client.hset(KEY, mapping={"version": text, "text": text})
        until(lambda: throttle.state()["in_flight"] == 1)
    throttle.answered(held, Told(), None)
    assert throttle.state()["in_flight"] == 0


# Without Redis


def test_without_redis_each_process_has_its_share_and_says_so(
    shared_redis: RedisServer, make_throttle: Callable[..., Throttle]
) -> None:
    one, other = make_throttle(requests_per_minute=1200, max_in_flight=5), make_throttle(requests_per_minute=1200)
    until(lambda: one.state()["processes"] == 2)
    for throttle in (one, other):
        throttle.failed(acquire(throttle))  # so that each knows of the other
    shared_redis.kill()
    one.answered(acquire(one), Told(requests=Quota(10.0, 5.0)), None)
    state = one.state()
    assert state["limits"]["requests_per_minute"]["value"] == 300
    assert state["limits"]["in_flight"]["value"] == 2
    assert (state["is_shared"], state["processes"]) == (False, 1)
    assert "Check REDIS_URL" in state["warnings"][-1]


def test_calls_wait_neither_for_a_redis_that_was_never_there_nor_after_it_came(
    shared_redis: RedisServer, make_throttle: Callable[..., Throttle]
) -> None:
    shared_redis.kill()
    throttle = make_throttle()
    throttle.answered(acquire(throttle), Told(), None)
    assert not throttle.state()["is_shared"]
    shared_redis.start()
    until(lambda: throttle.state()["is_shared"])
    throttle.answered(acquire(throttle), Told(), None)


def test_a_call_that_was_on_its_way_while_redis_was_gone_is_settled_once(
    shared_redis: RedisServer, make_throttle: Callable[..., Throttle]
) -> None:
    throttle = make_throttle(max_in_flight=1)
    held = acquire(throttle)
    shared_redis.kill()
    with waiting(throttle) as [call]:
        shared_redis.start()
        until(lambda: throttle.state()["is_shared"])
        assert (throttle.state()["in_flight"], call.done()) == (1, False)
        throttle.answered(held, Told(), None)
        throttle.answered(call.result(LATE_S), Told(), None)
    assert throttle.state()["in_flight"] == 0


def test_calls_go_on_while_redis_hangs(shared_redis: RedisServer, make_throttle: Callable[..., Throttle]) -> None:
    throttle = make_throttle()
    with shared_redis.hanging():
        throttle.answered(acquire(throttle), Told(), None)
        assert not throttle.state()["is_shared"]
    until(lambda: throttle.state()["is_shared"])


# Through the gateway


def test_gateways_with_one_key_share_a_limiter_that_does_not_show_it(
    shared_redis: RedisServer, make_gateway: Callable[..., Gateway]
) -> None:
    for _ in range(2):
        make_gateway(redis_url=shared_redis.url).complete(
            {"messages": []}, caller=Caller("e", "n"), deadline_s=LATE_S, cancellation=Cancellation()
        )
    state = make_gateway(redis_url=shared_redis.url, api_key="sk-another")
    with redis.Redis.from_url(shared_redis.url) as client:
        [key] = client.keys()
        content = b"".join(client.hgetall(key).values())
    assert json.loads(content[content.index(b"{") : content.rindex(b"}") + 1])["limiter"]["counts"]["answered"] == 2
    assert b"sk-secret" not in key + content
    assert state.state()["models"] == {}


def test_a_missing_package_is_named(make_gateway: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swarm.chat.shared", None)
    with pytest.raises(Misconfigured, match=r"install `swarm\[scale\]`"):
        make_gateway(redis_url="redis://localhost").complete(
            {"messages": []}, caller=Caller("e", "n"), deadline_s=LATE_S, cancellation=Cancellation()
        )
