"""A real HTTP server that speaks OpenAI's chat-completions protocol and calls no model.

For the demo, tests and benchmarks. It keeps no conversation between requests. One thread a connection, which sleeps
while the "model" thinks, so that hundreds of calls in flight cost nearly nothing.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from swarm.simulator.desk import Desk, Stats
from swarm.simulator.errors import CannotListen
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.protocol import ApiError, models
from swarm.simulator.response import Response, json_response
from swarm.simulator.spoilt import response_to

_LARGEST_BODY_BYTES = 32 * 1024 * 1024
_SHUTDOWN_POLL_S = 0.05
_ROUTES = {"/v1/chat/completions": "POST", "/v1/models": "GET", "/stats": "GET"}


class SimulatorServer:
    """The simulated model; `start()` and `stop()` may be called any number of times, or used as a `with` block."""

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self._options = options or SimulatorOptions()
        self._port = self._options.port
        self._desk = Desk(self._options)
        self._http: _HttpServer | None = None

    @property
    def base_url(self) -> str:
        """What `SWARM_CHAT_BASE_URL` is to be set to; a free port is known once the server was started."""
        return f"http://{self._options.host}:{self._port}/v1"

    @property
    def stats(self) -> Stats:
        """What `GET /stats` says."""
        return self._desk.stats()

    def start(self) -> None:
        """Listen, in a thread of its own. Raises `CannotListen`. A free port, once found, is kept over restarts."""
        if self._http is not None:
            return
        try:
            self._http = _HttpServer((self._options.host, self._port), self._desk)
        except OSError as error:
            where = f"{self._options.host}, port {self._port}"
            raise CannotListen(f"The simulator cannot listen on {where}: {error.strerror}. Name another.") from error
        self._port = self._http.server_port
        self._desk.open()
        threading.Thread(
            target=self._http.serve_forever, args=(_SHUTDOWN_POLL_S,), name="simulator", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop listening and hang up on everybody, waiting callers included."""
        if self._http is None:
            return
        self._desk.close()
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        self._http = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _HttpServer(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them: a keep-alive client would hold its thread for ever."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], desk: Desk) -> None:
        self.desk = desk
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base class asks the name service who we are, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up is everyday business, and so is our own stop().
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        with self._connections_lock:
            for connection in self._connections:
                with suppress(OSError):  # its client was faster
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: _HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class' name)
        """Keep quiet."""

    def _handle(self) -> None:
        try:
            body = self._read_body()
            self._route(body)
        except ApiError as error:
            self._send(json_response(error.body, status=error.status, headers=error.headers))

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY_BYTES or "Transfer-Encoding" in self.headers:
            # The body stays unread, so nothing that follows on this connection can be understood.
            self.close_connection = True
            raise ApiError(400, "Send a Content-Length of at most 32 MiB.", kind="invalid_request_error")
        return self.rfile.read(int(length))

    def _route(self, body: bytes) -> None:
        path = urlsplit(self.path).path
        if path not in _ROUTES:
            raise ApiError(
                404, f"Unknown request URL: {self.command} {path}.", kind="invalid_request_error", code="unknown_url"
            )
        if _ROUTES[path] != self.command:
            raise ApiError(405, f"Use {_ROUTES[path]} for {path}.", kind="invalid_request_error")
        desk = self.server.desk
        if path == "/stats":
            return self._send(json_response(asdict(desk.stats())))
        desk.check_key(self.headers.get("Authorization", ""))
        if path == "/v1/models":
            return self._send(json_response(models()))
        return self._complete(body)

    def _complete(self, body: bytes) -> None:
        desk = self.server.desk
        retry_count = self.headers.get("X-Stainless-Retry-Count", "0")
        answer = desk.answer(body, int(retry_count) if retry_count.isdecimal() else 0)
        self._send(response_to(answer, int(time.time()), desk.pause))

    def _send(self, response: Response) -> None:
        """Write the pieces as they come, in chunked coding where their length is unknown, so that the connection can
        go on afterwards.
        """
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(response.length))
        self.end_headers()
        for piece in response.pieces:
            self.wfile.write(piece if response.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
        if response.length is None:
            self.wfile.write(b"0\r\n\r\n")
