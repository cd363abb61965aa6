"""HTTP to the model server: one session a thread, a total deadline, a cap on bytes, and calls that can be cut off.

`requests` has no total deadline and no way to stop a call from outside. Both come from cutting the call's line, which
the alarm clock does or whoever cancels. It knows nothing of budgets, retries or chat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakSet

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from swarm.cancellation import Cancellation
from swarm.chat import errors
from swarm.chat.alarm import AlarmClock
from swarm.chat.line import CuttableAdapter, Line
from swarm.chat.refusals import Refusals
from swarm.errors import Misconfigured

CONNECT_TIMEOUT_S = 10.0
CHUNK_BYTES = 64 * 1024
ERROR_BYTES = 64 * 1024
REPLY_BYTES = 16 * 1024 * 1024


class Upstream:
    """One endpoint and its key. Usable from any thread; `close` when done.

    `is_direct`: go past any proxy that the environment names.
    """

    def __init__(self, base_url: str, api_key: str, *, reply_bytes: int = REPLY_BYTES, is_direct: bool = False) -> None:
        api_key = api_key.strip()
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise Misconfigured("SWARM_CHAT_API_KEY holds characters that no key has; copy it again, without quotes.")
        self._base_url = base_url.rstrip("/")
        self._auth = _Bearer(api_key)
        self._reply_bytes = reply_bytes
        self._is_direct = is_direct
        self._alarms = AlarmClock()
        self._threads = threading.local()
        self._sessions: WeakSet[requests.Session] = WeakSet()
        self.refusals = Refusals(_without_user(self._base_url), api_key)

    def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], *, timeout_s: float,
        cancellation: Cancellation,
    ) -> Exchange:  # fmt: skip
        """Send `body` as JSON and return the answer once its headers are there; close it, or use it in a `with`.

        `timeout_s` holds for the whole exchange, to the last byte. Raises `ChatError` for anything but a 2xx, and
        `Cancelled`.
        """
        exchange = Exchange(self.refusals, self._alarms, cancellation, time.monotonic() + timeout_s, self._reply_bytes)
        try:
            exchange.begin(lambda: self._send(path, body, headers, timeout_s))
        except BaseException:
            exchange.close()
            raise
        return exchange

    def close(self) -> None:
        """Close idle connections and end the alarm clock's thread; idempotent."""
        self._alarms.stop()
        for session in list(self._sessions):
            session.close()

    def _send(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float
    ) -> requests.Response:
        return self._session().post(
            self._base_url + path,
            json=body,
            headers={"Accept-Encoding": "identity", **headers},
            auth=self._auth,
            timeout=(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
            allow_redirects=False,
            stream=True,
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
            session.trust_env = not self._is_direct
            for scheme in ("http://", "https://"):
                session.mount(scheme, CuttableAdapter(pool_connections=1, pool_maxsize=1))
            self._sessions.add(session)
        return session


class Exchange:
    """One call on the line: its answer's headers, its bytes as they come, and its end."""

    _response: requests.Response  # set by `begin`

    def __init__(
        self, refusals: Refusals, alarms: AlarmClock, cancellation: Cancellation, deadline_at: float, max_bytes: int
    ) -> None:
        self.headers: Mapping[str, str] = {}
        self._refusals = refusals
        self._cancellation = cancellation
        self._max_bytes = max_bytes
        self._line = Line()
        self._end = ExitStack()
        self._end.callback(self._line.close)
        self._end.enter_context(alarms.ringing(deadline_at, self._line.cut))
        self._end.enter_context(cancellation.calling(self._line.cut))

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, send: Callable[[], requests.Response]) -> None:
        """Send, and take the headers. Raises as `Upstream.post` says."""
        self._cancellation.raise_if_cancelled()
        try:
            with self._line.in_use():
                self._response = send()
        except (requests.RequestException, HTTPError) as error:
            self._raise_if_cut()
            raise self._refusals.of_exception(error) from error
        self._end.callback(self._response.close)
        self.headers = self._response.headers
        if not 200 <= self._response.status_code < 300:
            body = b"".join(self._read(ERROR_BYTES, is_cap_error=False))
            raise self._refusals.of_status(self._response.status_code, self.headers, body)

    def chunks(self) -> Iterator[bytes]:
        """The decoded body as it arrives. Raises `MalformedReply` past the cap, else as `Upstream.post` says."""
        return self._read(self._max_bytes, is_cap_error=True)

    def body(self) -> bytes:
        """The whole decoded body. Raises as `chunks` does."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """End the call; its connection is kept only if the answer was read to its end. Idempotent."""
        self._end.close()

    def _read(self, max_bytes: int, *, is_cap_error: bool) -> Iterator[bytes]:
        size_bytes = 0
        try:
            while chunk := self._response.raw.read1(CHUNK_BYTES, decode_content=True):
                size_bytes += len(chunk)
                if size_bytes > max_bytes and is_cap_error:
                    raise errors.MalformedReply(
                        f"{self._refusals.base_url} sent more than {max_bytes} bytes; that is no chat answer. "
                        "Is SWARM_CHAT_BASE_URL right?"
                    )
                yield chunk
                if size_bytes > max_bytes:
                    return
        except (requests.RequestException, HTTPError) as error:
            self._raise_if_cut()
            raise self._refusals.of_exception(error) from error
        self._raise_if_cut()

    def _raise_if_cut(self) -> None:
        """Say why the line was cut, if it was: to a reader it looks like an end or a broken connection."""
        self._cancellation.raise_if_cancelled()
        if self._line.is_cut:
            raise errors.UpstreamTimeout(
                f"{self._refusals.base_url} did not finish its answer within the call's time. "
                "Raise SWARM_CALL_TIMEOUT if the model is that slow."
            )


class _Bearer(AuthBase):
    """Sends the key. As an `auth` object, since otherwise a ~/.netrc entry for the host would replace it."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request


def _without_user(url: str) -> str:
    """`url` without a user name and password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
