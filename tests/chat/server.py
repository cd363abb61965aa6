"""A real model server on loopback whose answers a test scripts, one handler a call."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Exchange:
    """What a handler gets: the request, and ways to answer it."""

    request: Received
    http: BaseHTTPRequestHandler

    def send(self, status: int, body: bytes | object, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_raw(
            status, data, {"Content-Type": "application/json", "Content-Length": str(len(data))} | dict(headers or {})
        )

    def send_raw(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.http.send_response(status)
        for name, value in headers.items():
            self.http.send_header(name, value)
        self.http.end_headers()
        self.write(data)

    def write(self, data: bytes) -> None:
        self.http.wfile.write(data)
        self.http.wfile.flush()

    def hang_up(self) -> None:
        self.http.close_connection = True


Handler = Callable[[Exchange], None]


@dataclass
class ModelServer:
    """`script` holds the next answers, `always` the one after them."""

    url: str = ""
    script: list[Handler] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    is_closing: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    in_flight: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    always: Handler = field(default_factory=lambda: answer("hello"))

    def handle(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        exchange = Exchange(Received(http.path, dict(http.headers), body), http)
        with self._lock:
            self.received.append(exchange.request)
            handler = self.script.pop(0) if self.script else self.always
            self.in_flight += 1
        try:
            handler(exchange)
        except (BrokenPipeError, ConnectionResetError):
            http.close_connection = True
        finally:
            with self._lock:
                self.in_flight -= 1


def completion(text: str = "hello", **message: Any) -> dict[str, Any]:
    """A chat completion as OpenAI writes it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "test-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def answer(text: str = "hello", headers: Mapping[str, str] | None = None) -> Handler:
    return lambda exchange: exchange.send(200, completion(text), headers)


def refuse(status: int, message: str = "no", *, headers: Mapping[str, str] | None = None, **details: Any) -> Handler:
    return lambda exchange: exchange.send(status, {"error": {"message": message, **details}}, headers)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()

    class HTTPHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def do_POST(self) -> None:
            server.handle(self)

        def log_message(self, *args: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hung up is what some tests are about."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    listener = Listener(("127.0.0.1", 0), HTTPHandler)
    server.url = f"http://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.is_closing.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
