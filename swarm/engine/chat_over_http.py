"""The way of a node's call over HTTP: to this server's own /api/chat, or to whatever SWARM_CHAT_URL names.

Another OpenAI-compatible address answers with a plain completion, or with an error in its own form; that is fine too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from swarm.cancellation import Cancellation
from swarm.chat.errors import BadCredentials, ChatError, UpstreamUnavailable
from swarm.chat.gateway import Caller, Completion, Phase
from swarm.chat.limiter import Told
from swarm.chat.refusals import Refusals
from swarm.chat.replies import parse_reply
from swarm.chat.upstream import Exchange, Upstream
from swarm.engine import narration
from swarm.engine.node_token import issue_node_token

GRACE_S = 2.0
"""Added to a call's deadline on this side, so that the other side's word about it still arrives."""


@dataclass(frozen=True)
class ChatAddress:
    """Where to send calls, and with which headers. One's `own` server is never reached through a proxy."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_own: bool = False


class ChatOverHttp:
    """Calls one address as the nodes' gateway. Usable from any thread; `close` when done."""

    def __init__(self, address: ChatAddress) -> None:
        self.address = address
        self._upstream = Upstream(address.url, "", is_direct=address.is_own)
        self._upstream.refusals = _Problems(self._upstream.refusals.base_url)

    def complete(
        self,
        request: Mapping[str, Any],
        *,
        caller: Caller,
        deadline_s: float,
        cancellation: Cancellation,
        on_phase: Callable[[Phase], None],
        on_rate_limited: Callable[[float], None],
    ) -> Completion:
        """As `Gateway.complete`."""
        started_at = time.monotonic()
        with self._post(request, caller, deadline_s, cancellation) as exchange:
            content_type = exchange.headers.get("Content-Type", "")
            if content_type.startswith(narration.MEDIA_TYPE):
                return narration.follow(
                    exchange.chunks(), self._upstream.refusals, on_phase=on_phase, on_rate_limited=on_rate_limited
                )
            reply = parse_reply(exchange.body(), content_type, Told(), self._upstream.refusals)
        return Completion(
            reply, queued_s=0.0, upstream_s=time.monotonic() - started_at, retries=0, rate_limited_count=0
        )

    def close(self) -> None:
        """Close idle connections; idempotent."""
        self._upstream.close()

    def _post(
        self, request: Mapping[str, Any], caller: Caller, deadline_s: float, cancellation: Cancellation
    ) -> Exchange:
        def post() -> Exchange:
            headers = {
                **self.address.headers,
                "Authorization": f"Bearer {issue_node_token(caller)}",
                "Accept": f"{narration.MEDIA_TYPE}, application/json",
                "X-Stainless-Read-Timeout": str(deadline_s),
            }
            return self._upstream.post("", request, headers, timeout_s=deadline_s + GRACE_S, cancellation=cancellation)

        try:
            return post()
        except NotReached:
            # A kept connection may have been closed at the very moment it was to be used again.
            return post()


class NotReached(UpstreamUnavailable):
    """No connection to where nodes send their calls, or one that broke before it told anything."""


class _Problems(Refusals):
    """Turns the problems that /api/chat answers with (RFC 9457) back into the errors that they were."""

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> ChatError:
        """Raises what is not an error of the model, such as `Misconfigured`."""
        if not headers.get("Content-Type", "").startswith("application/problem+json"):
            return super().of_status(status, headers, body)
        if status == HTTPStatus.UNAUTHORIZED:
            return BadCredentials(
                f"{self.base_url} does not know this node. Give both servers the same SECRET_KEY and the right time."
            )
        problem = json.loads(body)
        error = narration.error_of(problem["code"], problem["detail"])
        if not isinstance(error, ChatError):
            raise error
        return error

    def of_exception(self, error: requests.RequestException | HTTPError) -> ChatError:
        reason = super().of_exception(error)
        if not isinstance(reason, UpstreamUnavailable):
            return reason
        return NotReached(f"No answer from {self.base_url}, where nodes send their calls. Is SWARM_CHAT_URL right?")
