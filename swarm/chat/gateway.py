"""The one door to the model: every call of every node waits here for the budget, is sent, and is retried if it may be.

The gateway holds the key. It knows nothing of stories, rows or views; whoever calls is told what the call is doing.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from swarm.cancellation import Cancellation
from swarm.chat.call import Call, Caller, ModelQueue, Phase
from swarm.chat.errors import MalformedReply
from swarm.chat.limiter import Limiter, Limits, TokenEstimate, Told, read_headers
from swarm.chat.replies import ChatReply, parse_reply
from swarm.chat.retries import RetryPolicy
from swarm.chat.streams import ChatStream
from swarm.chat.throttle import Home, OwnHome, Throttle
from swarm.chat.upstream import Exchange, Upstream
from swarm.errors import Misconfigured

__all__ = ["Caller", "ChatStream", "Completion", "Gateway", "GatewaySettings", "Phase", "close_gateway", "get_gateway"]

PATH = "/chat/completions"


def _ignore(_: object) -> None:
    """For callers who do not want to be told."""


@dataclass(frozen=True)
class GatewaySettings:
    """Where the model is and what it may be asked; 0 means that a budget is learnt.

    With a `redis_url`, all processes with the same settings share the budgets.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    model: str = ""
    rpm: int = 0
    tpm: int = 0
    max_in_flight: int = 0
    call_timeout_s: float = 600.0
    redis_url: str = field(default="", repr=False)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Completion:
    """An answer and what it took: seconds off and on the line, retries of any kind, and how many 429s."""

    reply: ChatReply
    queued_s: float
    upstream_s: float
    retries: int
    rate_limited_count: int


class Gateway:
    """One endpoint and its key, with a queue for each model. Usable from any thread; `close` when done."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._upstream = Upstream(settings.base_url, settings.api_key)
        self._lock = threading.Lock()
        self._queues: dict[str, ModelQueue] = {}

    def complete(
        self,
        request: Mapping[str, Any],
        *,
        caller: Caller,
        deadline_s: float,
        cancellation: Cancellation,
        on_phase: Callable[[Phase], None] = _ignore,
        on_rate_limited: Callable[[float], None] = _ignore,
    ) -> Completion:
        """Send a chat-completions request and return the checked answer, within `deadline_s` seconds in all.

        `on_phase` is called in this thread when the call begins to wait for the budget and when it is on the line,
        `on_rate_limited` with the pause in seconds at each 429. The request's `model` is the configured one unless
        it names another. Raises `ChatError`, `Cancelled`, and `Misconfigured` if no model is named.
        """
        call = self._call(request, caller, deadline_s, cancellation, on_phase, on_rate_limited)
        reply, told = call.run(lambda timeout_s: self._fetch(call, timeout_s))
        call.settle(told, reply.usage)
        return Completion(reply, call.queued_s, call.upstream_s, call.retries, call.rate_limited_count)

    def stream(
        self,
        request: Mapping[str, Any],
        *,
        caller: Caller,
        deadline_s: float,
        cancellation: Cancellation,
        on_phase: Callable[[Phase], None] = _ignore,
        on_rate_limited: Callable[[float], None] = _ignore,
    ) -> ChatStream:
        """As `complete`, but return the answer's server-sent events to iterate over, once upstream begins to answer.

        Retries happen before this returns, never after. The stream must be closed, read or not.
        """
        call = self._call({**request, "stream": True}, caller, deadline_s, cancellation, on_phase, on_rate_limited)
        exchange = call.run(lambda timeout_s: self._open_stream(call, timeout_s))
        return ChatStream(exchange, call, _told(exchange), self._upstream.refusals)

    def state(self) -> dict[str, Any]:
        """What each model's limiter believes, ready for JSON; never the key."""
        with self._lock:
            queues = dict(self._queues)
        return {
            "endpoint": self._upstream.refusals.base_url,
            "models": {model: queue.throttle.state() for model, queue in queues.items()},
        }

    def close(self) -> None:
        """Close idle connections and share no more; idempotent."""
        with self._lock:
            queues = list(self._queues.values())
        for queue in queues:
            queue.throttle.close()
        self._upstream.close()

    def _call(
        self,
        request: Mapping[str, Any],
        caller: Caller,
        deadline_s: float,
        cancellation: Cancellation,
        on_phase: Callable[[Phase], None],
        on_rate_limited: Callable[[float], None],
    ) -> Call:
        model = request.get("model") or self._settings.model
        if not model:
            raise Misconfigured("No model is named; set SWARM_CHAT_MODEL to one that SWARM_CHAT_BASE_URL serves.")
        return Call(
            body={**request, "model": model},
            caller=caller,
            deadline_at=time.monotonic() + deadline_s,
            cancellation=cancellation,
            on_phase=on_phase,
            on_rate_limited=on_rate_limited,
            queue=self._queue(str(model)),
            policy=self._settings.retry_policy,
            call_timeout_s=self._settings.call_timeout_s,
        )

    def _queue(self, model: str) -> ModelQueue:
        with self._lock:
            if model not in self._queues:
                self._queues[model] = ModelQueue(Throttle(self._home(model)), TokenEstimate())
            return self._queues[model]

    def _home(self, model: str) -> Home:
        settings = self._settings
        limits = Limits(settings.rpm, settings.tpm, settings.max_in_flight)
        if not settings.redis_url:
            return OwnHome(Limiter(limits, now=time.monotonic(), chance=random.random))
        try:
            shared = importlib.import_module("swarm.chat.shared")
        except ImportError as error:
            raise Misconfigured(
                "REDIS_URL is set, but the package `redis` is missing: install `swarm[scale]`."
            ) from error
        # Who pays from one budget shares it; the digest keeps the key out of Redis.
        identity = json.dumps([settings.base_url, settings.api_key, model, *vars(limits).values()])
        name = f"swarm:limiter:2:{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        home: Home = shared.SharedHome(settings.redis_url, name, limits, random.random)
        return home

    def _fetch(self, call: Call, timeout_s: float) -> tuple[ChatReply, Told]:
        with self._post(call, timeout_s) as exchange:
            body = exchange.body()
        told = _told(exchange)
        return parse_reply(body, exchange.headers.get("Content-Type", ""), told, self._upstream.refusals), told

    def _open_stream(self, call: Call, timeout_s: float) -> Exchange:
        exchange = self._post(call, timeout_s)
        content_type = exchange.headers.get("Content-Type", "")
        if content_type.startswith("text/event-stream"):
            return exchange
        with exchange:
            parse_reply(exchange.body(), content_type, _told(exchange), self._upstream.refusals)
        raise MalformedReply(f"{self._upstream.refusals.base_url} does not stream; ask without `stream`.")

    def _post(self, call: Call, timeout_s: float) -> Exchange:
        return self._upstream.post(PATH, call.body, call.headers, timeout_s=timeout_s, cancellation=call.cancellation)


_gateway: Gateway | None = None
_gateway_lock = threading.Lock()


def get_gateway() -> Gateway:
    """This process's gateway, made from the Django settings when first asked for. Raises `Misconfigured`."""
    global _gateway
    with _gateway_lock:
        if _gateway is None:
            _gateway = Gateway(
                GatewaySettings(
                    base_url=settings.SWARM_CHAT_BASE_URL,
                    api_key=settings.SWARM_CHAT_API_KEY,
                    model=settings.SWARM_CHAT_MODEL,
                    rpm=settings.SWARM_RPM,
                    tpm=settings.SWARM_TPM,
                    max_in_flight=settings.SWARM_MAX_IN_FLIGHT,
                    call_timeout_s=settings.SWARM_CALL_TIMEOUT,
                    redis_url=settings.REDIS_URL,
                )
            )
        return _gateway


def close_gateway() -> None:
    """Close this process's gateway; the next `get_gateway` reads the settings anew. Idempotent."""
    global _gateway
    with _gateway_lock:
        if _gateway is not None:
            _gateway.close()
        _gateway = None


def _told(exchange: Exchange) -> Told:
    return read_headers(exchange.headers, datetime.now(UTC))
