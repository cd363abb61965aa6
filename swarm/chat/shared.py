"""A limiter that lives in Redis (or Valkey), so that several processes share one budget, one gate and one queue.

The decisions are the pure core's: a change loads the limiter, runs the core on it and stores it, if nobody else did so
meanwhile (compare and set, in one Lua script), else it starts over. Redis' clock is everybody's. Whoever is granted a
slot by another process, or comes to the head of the queue, is told through a channel of its own process; nobody polls,
and a heartbeat keeps each process's lease. Without Redis a process goes on under its last known fair share.
Import this module only where `REDIS_URL` is set: it needs the package `redis`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from swarm.chat.limiter import Limiter, Limits, Ticket
from swarm.chat.limiter.commons import Commons, Outlook

log = structlog.get_logger("swarm.chat")
Result = TypeVar("Result")

# How often each process shows that it is alive, and looks for Redis again while that is gone.
BEAT_S = 1.0
TIMEOUT_S = 1.0
# What was learnt about a model is remembered for so long after its last use.
REMEMBERED_S = 3600

# KEYS: the limiter. ARGV: the version it was loaded at, a new version ("" only loads), its text, seconds to live, and
# the channels of whom to wake. Returns Redis' clock, whether it was stored, and if not, what is there.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local version = redis.call('HGET', KEYS[1], 'version') or ''
if ARGV[2] == '' or version ~= ARGV[1] then
  return {now, 0, version, redis.call('HGET', KEYS[1], 'text') or ''}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'text', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
for i = 5, #ARGV do redis.call('PUBLISH', ARGV[i], '') end
return {now, 1, '', ''}
"""


class SharedHome:
    """The limiter stored under `key`, as one process sees it. One thread at a time calls `change` and `state`."""

    def __init__(self, url: str, key: str, limits: Limits, chance: Callable[[], float]) -> None:
        self.owner = uuid.uuid4().hex[:12]
        self._key = key
        self._channel = f"{key}/"
        self._limits = limits
        self._chance = chance
        # Never sent again by the library: whether a change whose answer got lost was stored, the version tells.
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )  # fmt: skip
        self._script = self._redis.register_script(SCRIPT)
        self._is_up = False
        self._is_tried = threading.Event()
        self._is_closed = threading.Event()
        self._listener: threading.Thread | None = None
        self._calls: Callable[[], tuple[list[Ticket], list[Ticket]]] = lambda: ([], [])
        self._text = ""  # as last stored by this process
        self._alone: Limiter | None = None
        self._alone_since = 0.0
        self._clock_offset_s = time.time() - time.monotonic()

    def start(self, on_news: Callable[[], None], calls: Callable[[], tuple[list[Ticket], list[Ticket]]]) -> None:
        """Listen, from a thread of its own, until `close`; returns once Redis has answered, or has not in time."""
        self._calls = calls
        self._listener = threading.Thread(target=self._listen, args=(on_news,), name="swarm-chat-shared", daemon=True)
        self._listener.start()
        self._is_tried.wait(2 * TIMEOUT_S)

    def change(self, act: Callable[[Limiter, float], Result]) -> Result:
        """Return `act(limiter, now)` on the shared limiter, or on this process's share while Redis does not answer."""
        if self._is_up:
            try:
                return self._transact(act)
            except redis.RedisError as error:
                self._lose(error)
        return act(self._share(), self._now())

    def state(self) -> dict[str, Any]:
        """What the shared limiter believes, for all processes; while Redis does not answer, this one's share."""
        if self._is_up and self._alone is None:
            try:
                now, _, _, text = self._run("", "", "")
            except redis.RedisError as error:
                self._lose(error)
            else:
                commons = self._read(text) or self._known(now)
                return commons.limiter.state(now) | {"is_shared": True, "processes": len(commons.alive_until)}
        state = self._share().state(self._now())
        warning = (
            f"Redis has not answered for {time.monotonic() - self._alone_since:.0f} s. Until it does, each process "
            "keeps to its last known share of the budget. Check REDIS_URL and the Redis server."
        )
        return state | {"is_shared": False, "processes": 1, "warnings": [*state["warnings"], warning]}

    def close(self) -> None:
        """End the listener; idempotent. What is still held comes back when the lease runs out."""
        self._is_closed.set()
        with suppress(redis.RedisError):
            self._redis.publish(self._channel + self.owner, "")
        if self._listener:
            self._listener.join()
        self._redis.close()

    def _listen(self, on_news: Callable[[], None]) -> None:
        """Pass on the news, at least once a beat; while Redis is gone, look for it once a beat."""
        while not self._is_closed.is_set():
            try:
                with self._redis.pubsub() as news:  # type: ignore[no-untyped-call]
                    news.subscribe(self._channel + self.owner)
                    news.get_message(timeout=TIMEOUT_S)  # that it has been done
                    self._is_up = True
                    self._is_tried.set()
                    while self._is_up and not self._is_closed.is_set():
                        on_news()
                        news.get_message(timeout=BEAT_S)
            except redis.RedisError as error:
                self._lose(error)
                self._is_tried.set()
            on_news()
            self._is_closed.wait(BEAT_S)

    def _lose(self, error: redis.RedisError) -> None:
        if self._is_up or not self._is_tried.is_set():
            log.warning("limiter.redis_lost", reason=str(error) or type(error).__name__)
        self._is_up = False

    def _share(self) -> Limiter:
        """What this process may do by itself: its own calls under its last known fair share of all budgets."""
        if self._alone is None:
            now = self._now()
            commons = self._known(now)
            parts = max(1, len(commons.alive_until))
            self._alone = commons.without_calls(now).limiter
            self._alone.divide(parts)
            self._alone.spend_savings(now)
            self._alone.adopt(self.owner, *self._calls(), now)
            self._alone_since = time.monotonic()
        return self._alone

    def _transact(self, act: Callable[[Limiter, float], Result]) -> Result:
        """Change what is shared. Raises `redis.RedisError`, and then it may have been changed or not."""
        now, _, version, text = self._run("", "", "")
        while True:
            commons = self._read(text) or self._known(now).without_calls(now)
            before = Outlook.of(commons.limiter)
            self._enter(commons, now)
            result = act(commons.limiter, now)
            concerned = before.news_for(Outlook.of(commons.limiter)) - {self.owner}
            changed = commons.save(now)
            channels = [self._channel + owner for owner in concerned]
            now, is_stored, version, text = self._run(version, uuid.uuid4().hex, changed, *channels)
            if is_stored:
                break
        self._text = changed
        if self._alone is not None:
            self._alone = None
            log.info("limiter.redis_found", after_s=round(time.monotonic() - self._alone_since, 1))
        return result

    def _read(self, text: str) -> Commons | None:
        """What Redis has; None if it is nothing, or nothing that can be read."""
        try:
            return Commons.load(text, self._chance) if text else None
        except (ValueError, KeyError, TypeError) as error:  # another version's, perhaps; no reason to stop working
            log.warning("limiter.unreadable", reason=repr(error))
            return None

    def _known(self, now: float) -> Commons:
        """What this process stored last, or a new limiter."""
        if self._text:
            return Commons.load(self._text, self._chance)
        return Commons(Limiter(self._limits, now=now, chance=self._chance), {}, now)

    def _enter(self, commons: Commons, now: float) -> None:
        """Take part, and bring this process's calls along if the shared limiter does not know them (any more)."""
        was_left = now - commons.saved_at > 2 * BEAT_S
        is_known = commons.enter(self.owner, now)
        if self._alone is not None or not is_known:
            commons.limiter.adopt(self.owner, *self._calls(), now)
        if self._alone is not None:
            commons.limiter.spend_savings(now)
            if was_left:  # the others may be alone too, and need as long to find Redis again
                commons.limiter.pause(2 * BEAT_S, now)

    def _now(self) -> float:
        return time.monotonic() + self._clock_offset_s

    def _run(self, version: str, new_version: str, text: str, *channels: str) -> tuple[float, bool, str, str]:
        """Run the script; its clock is Redis'."""
        clock, is_stored, found_version, found_text = self._script(
            keys=[self._key], args=[version, new_version, text, REMEMBERED_S, *channels]
        )
        now = float(clock)
        self._clock_offset_s = now - time.monotonic()
        return now, bool(is_stored), found_version, found_text
