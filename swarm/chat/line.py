"""The line of a call: its socket, from the first packet of the connection on, and how it is cut from outside.

`requests` has no way to stop a call. A second handle on the call's socket is shut down by whoever wants it to end, and
the thread that connects, writes or reads sees the end at once. How the socket gets from deep inside urllib3 onto the
line stands here too. It knows nothing of calls, deadlines or chat.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_write

SocketOptions = Sequence[tuple[int, int, int | bytes]]


class Line:
    """A second handle on the socket of the call in flight; cutting it ends whatever is done on it at once.

    It is a duplicate: http.client and TLS pass the first one around and close it early, and a closed one's number may
    be somebody else's by then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self.is_cut = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Whatever this thread sends in the block goes over this line."""
        _this_thread.line = self
        try:
            yield
        finally:
            del _this_thread.line

    def connect(self, host: str, port: int, timeout_s: float | None, options: SocketOptions) -> socket.socket:
        """Connect to the first of the host's addresses that answers, each within `timeout_s`. Raises OSError.

        A cut of the line ends that at once.
        """
        failure = OSError(f"{host} has no address.")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, allowed_gai_family(), socket.SOCK_STREAM
        ):
            try:
                return self._connect(socket.socket(family, kind, protocol), address, timeout_s, options)
            except OSError as error:
                failure = error
            if self.is_cut:
                break
        raise failure

    def hold(self, connection: socket.socket) -> None:
        """Put a socket on the line in place of the last one."""
        self.close()
        with self._lock:
            self._handle = socket.fromfd(connection.fileno(), connection.family, connection.type)
            self._shut_down_if_cut()

    def cut(self) -> None:
        """End what is done on the line, now and later."""
        with self._lock:
            self.is_cut = True
            self._shut_down_if_cut()

    def close(self) -> None:
        """Let go of the socket; idempotent."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = None

    def _connect(
        self, connection: socket.socket, address: Any, timeout_s: float | None, options: SocketOptions
    ) -> socket.socket:
        try:
            for option in options:
                connection.setsockopt(*option)
            connection.setblocking(False)
            code = connection.connect_ex(address)
            # Not before: a socket that is not even connecting cannot be shut down.
            self.hold(connection)
            if code == errno.EINPROGRESS:
                if not wait_for_write(connection, timeout_s):
                    raise TimeoutError
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            connection.settimeout(timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _shut_down_if_cut(self) -> None:
        if self.is_cut and self._handle is not None:
            with suppress(OSError):  # the other side was faster
                self._handle.shutdown(socket.SHUT_RDWR)


class _ThisThread(threading.local):
    """The line that this thread uses; how a connection deep inside urllib3 finds it."""

    line: Line


_this_thread = _ThisThread()


class CuttableAdapter(HTTPAdapter):
    """Sends over this thread's line, with a proxy as without."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_cuttable_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        _use_cuttable_pools(manager)
        return manager


class _HTTPConnection(HTTPConnection):
    """A connection that puts its socket on the line in use."""

    def _new_conn(self) -> socket.socket:
        """As urllib3's own, which connects where nobody can reach the socket."""
        try:
            return _this_thread.line.connect(self._dns_host, self.port, self.timeout, self.socket_options or ())
        except UnicodeError:
            raise LocationParseError(f"{self.host!r}, label empty or too long") from None
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"No connection to {self.host} within {self.timeout} s") from error
        except OSError as error:
            raise NewConnectionError(self, f"No connection to {self.host}: {error}") from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _this_thread.line.hold(self.sock)
        super().request(*args, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection): ...


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def _use_cuttable_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
