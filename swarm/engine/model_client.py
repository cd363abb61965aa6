"""Where this process's nodes send their calls: over HTTP to an address, or to the gateway in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.conf import settings

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Caller, Completion, Phase, get_gateway
from swarm.engine.chat_over_http import ChatAddress, ChatOverHttp


class ModelClient(Protocol):
    """What a developer needs of whoever takes its calls; see `Gateway.complete`."""

    def complete(
        self,
        request: Mapping[str, Any],
        *,
        caller: Caller,
        deadline_s: float,
        cancellation: Cancellation,
        on_phase: Callable[[Phase], None],
        on_rate_limited: Callable[[float], None],
    ) -> Completion: ...


class ModelDoor:
    """Leads to SWARM_CHAT_URL; else, while this process serves, to its own /api/chat; else to its gateway."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._own: ChatAddress | None = None
        self._over_http: ChatOverHttp | None = None

    def serve_at(self, address: ChatAddress) -> None:
        """Lead to this process's own server from now on."""
        with self._mutex:
            self._own = address

    def client(self) -> ModelClient:
        """The way that the next call takes. Raises `Misconfigured`."""
        with self._mutex:
            address = ChatAddress(settings.SWARM_CHAT_URL) if settings.SWARM_CHAT_URL else self._own
            if address is None:
                return get_gateway()
            if self._over_http is None or self._over_http.address != address:
                self._close()
                self._over_http = ChatOverHttp(address)
            return self._over_http

    def close(self) -> None:
        """Close connections, and lead to the gateway again unless SWARM_CHAT_URL is set; idempotent."""
        with self._mutex:
            self._own = None
            self._close()

    def _close(self) -> None:
        if self._over_http is not None:
            self._over_http.close()
        self._over_http = None


model_door = ModelDoor()
