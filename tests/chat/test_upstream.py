"""HTTP to a real server that answers well, badly, slowly or not at all."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarm.cancellation import Cancellation
from swarm.chat import errors
from swarm.chat.line import Line
from swarm.chat.upstream import Upstream
from swarm.errors import Cancelled, Misconfigured
from tests.chat.server import Exchange, ModelServer, refuse
from tests.factories import wait_until

LATE_S = 30.0


@pytest.fixture
def upstream(server: ModelServer) -> Iterator[Upstream]:
    made = Upstream(server.url, "sk-secret", reply_bytes=100_000)
    yield made
    made.close()


def fetch(upstream: Upstream, *, timeout_s: float = LATE_S, cancellation: Cancellation | None = None) -> bytes:
    with upstream.post(
        "/chat/completions", {"a": 1}, {}, timeout_s=timeout_s, cancellation=cancellation or Cancellation()
    ) as exchange:
        return exchange.body()


def raw(data: bytes, **headers: str) -> Callable[[Exchange], None]:
    """Answer 200 with exactly these headers, then hang up."""

    def handle(exchange: Exchange) -> None:
        exchange.send_raw(200, data, {name.replace("_", "-"): value for name, value in headers.items()})
        exchange.hang_up()

    return handle


def drip(server: ModelServer, *, with_headers: bool) -> Callable[[Exchange], None]:
    """Send one byte every ten milliseconds for as long as anybody listens."""

    def handle(exchange: Exchange) -> None:
        if with_headers:
            exchange.send_raw(200, b"", {"Content-Type": "application/json"})
        else:
            exchange.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not server.is_closing.wait(0.01):
            exchange.write(b"x")

    return handle


def silence(server: ModelServer, reached: threading.Event) -> Callable[[Exchange], None]:
    def handle(exchange: Exchange) -> None:
        reached.set()
        server.is_closing.wait(LATE_S)

    return handle


def test_a_thread_keeps_its_connection(server: ModelServer, upstream: Upstream) -> None:
    for _ in range(3):
        fetch(upstream)
    assert len(server.received) == 3
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(server: ModelServer, upstream: Upstream) -> None:
    server.script = [raw(b"{}", Content_Length="2", Connection="close")]
    fetch(upstream)
    fetch(upstream)
    assert server.connections == 2


def test_the_key_is_sent_and_a_netrc_entry_is_not(
    server: ModelServer, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    fetch(upstream)
    assert server.received[0].headers["Authorization"] == "Bearer sk-secret"


def test_the_key_is_never_quoted(server: ModelServer, upstream: Upstream) -> None:
    server.script = [refuse(401, "Incorrect API key provided: sk-secret.")]
    with pytest.raises(errors.BadCredentials, match="SWARM_CHAT_API_KEY") as caught:
        fetch(upstream)
    assert "sk-secret" not in str(caught.value)
    assert "sk-secret" not in repr(upstream.refusals)


@pytest.mark.parametrize("key", ["sk two words", "sk-ключ", "sk\nsplit"])
def test_a_key_that_cannot_be_sent_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(Misconfigured, match="SWARM_CHAT_API_KEY") as caught:
        Upstream("http://127.0.0.1:9", key)
    assert key not in str(caught.value)


def test_a_user_name_in_the_address_is_not_shown() -> None:
    upstream = Upstream("http://user:password@127.0.0.1:9/v1", "")
    assert upstream.refusals.base_url == "http://127.0.0.1:9/v1"
    upstream.close()


def test_a_refused_connection_names_the_address_and_the_setting() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        upstream = Upstream(url, "")
        with pytest.raises(errors.UpstreamUnavailable) as caught:
            fetch(upstream)
        upstream.close()
    assert url in str(caught.value)
    assert "SWARM_CHAT_BASE_URL" in str(caught.value)
    assert "refused" in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1/v1", "ftp://127.0.0.1/v1", "http://", f"http://{'a' * 70}.invalid/v1"])
def test_an_address_that_cannot_be_called_says_so(url: str) -> None:
    upstream = Upstream(url, "")
    with pytest.raises(errors.BadRequest, match="SWARM_CHAT_BASE_URL"):
        fetch(upstream)
    upstream.close()


def test_a_redirect_is_not_followed(server: ModelServer, upstream: Upstream) -> None:
    server.script = [refuse(307, headers={"Location": server.url + "/elsewhere"})]
    with pytest.raises(errors.BadRequest, match="Redirects are not followed"):
        fetch(upstream)
    assert len(server.received) == 1


@pytest.mark.parametrize("with_headers", [True, False], ids=["in the body", "in the headers"])
def test_the_deadline_holds_for_a_server_that_drips(
    server: ModelServer, upstream: Upstream, with_headers: bool
) -> None:
    server.script = [drip(server, with_headers=with_headers)]
    with pytest.raises(errors.UpstreamTimeout, match="SWARM_CALL_TIMEOUT"):
        fetch(upstream, timeout_s=0.2)


def test_the_deadline_holds_for_a_server_that_is_silent(server: ModelServer, upstream: Upstream) -> None:
    server.script = [silence(server, threading.Event())]
    with pytest.raises(errors.UpstreamTimeout, match="SWARM_CALL_TIMEOUT"):
        fetch(upstream, timeout_s=0.2)


def test_cancelling_ends_a_call_that_waits_for_its_answer(server: ModelServer, upstream: Upstream) -> None:
    """The server never answers, so only the cancellation can have ended the call."""
    reached, cancellation = threading.Event(), Cancellation()
    server.script = [silence(server, reached)]
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch, upstream, cancellation=cancellation)
        assert reached.wait(LATE_S)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled, match="stop"):
            call.result(LATE_S)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port of loopback whose listener has no place for another connection: whoever connects hangs."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def connecting_to(port: int) -> int:
    """How many sockets of this machine are in the middle of connecting to `port` (SYN_SENT)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and line[3] == "02" for line in lines)


def test_cancelling_ends_a_call_whose_connection_hangs_and_leaves_nothing_behind(
    full_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes the connection and it may hang for an hour, so only the cancellation can have ended the call."""
    monkeypatch.setattr("swarm.chat.upstream.CONNECT_TIMEOUT_S", 3600)
    upstream, cancellation = Upstream(f"http://127.0.0.1:{full_port}/v1", ""), Cancellation()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch, upstream, timeout_s=3600, cancellation=cancellation)
        wait_until(lambda: connecting_to(full_port) == 1)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled, match="stop"):
            call.result(LATE_S)
    assert connecting_to(full_port) == 0
    upstream.close()


def test_a_call_that_is_cancelled_before_it_connects_does_not_hang(full_port: int) -> None:
    line = Line()
    line.cut()
    with pytest.raises(OSError, match=r"."):
        line.connect("127.0.0.1", full_port, 3600, ())
    line.close()
    assert connecting_to(full_port) == 0


def test_the_deadline_holds_for_a_connection_that_hangs(full_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.chat.upstream.CONNECT_TIMEOUT_S", 0.1)
    upstream = Upstream(f"http://127.0.0.1:{full_port}/v1", "")
    with pytest.raises(errors.UpstreamTimeout, match="did not take the connection"):
        fetch(upstream)
    upstream.close()


def test_cancelling_ends_a_call_in_the_middle_of_its_answer(server: ModelServer, upstream: Upstream) -> None:
    server.script = [drip(server, with_headers=True)]
    cancellation = Cancellation()
    with upstream.post("/", {}, {}, timeout_s=LATE_S, cancellation=cancellation) as exchange:
        chunks = exchange.chunks()
        assert next(chunks)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled, match="stop"):
            list(chunks)


def test_a_call_is_not_sent_once_it_is_cancelled(server: ModelServer, upstream: Upstream) -> None:
    cancellation = Cancellation()
    cancellation.cancel("stop")
    with pytest.raises(Cancelled):
        fetch(upstream, cancellation=cancellation)
    assert server.received == []


def test_an_answer_cut_short_is_a_broken_connection(server: ModelServer, upstream: Upstream) -> None:
    server.script = [raw(b'{"half', Content_Length="100")]
    with pytest.raises(errors.UpstreamUnavailable, match="broke before the whole answer"):
        fetch(upstream)


def test_a_chunked_answer_cut_short_is_a_broken_connection(server: ModelServer, upstream: Upstream) -> None:
    server.script = [raw(b"5\r\nhello\r\n", Transfer_Encoding="chunked")]
    with pytest.raises(errors.UpstreamUnavailable, match="broke before the whole answer"):
        fetch(upstream)


def test_hanging_up_without_an_answer_is_a_broken_connection(server: ModelServer, upstream: Upstream) -> None:
    server.script = [Exchange.hang_up]
    with pytest.raises(errors.UpstreamUnavailable, match="broke before the whole answer"):
        fetch(upstream)


def test_an_endless_answer_is_cut_at_the_cap(server: ModelServer, upstream: Upstream) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send_raw(200, b"", {"Content-Type": "application/json"})
        while not server.is_closing.is_set():
            exchange.write(b"x" * 10_000)

    server.script = [endless]
    with pytest.raises(errors.MalformedReply, match="more than 100000 bytes"):
        fetch(upstream)


def test_a_gzip_bomb_is_cut_at_the_cap(server: ModelServer, upstream: Upstream) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    server.script = [raw(bomb, Content_Encoding="gzip", Content_Length=str(len(bomb)))]
    with pytest.raises(errors.MalformedReply, match="more than 100000 bytes"):
        fetch(upstream)


def test_bytes_that_are_not_what_the_encoding_says_are_a_broken_answer(server: ModelServer, upstream: Upstream) -> None:
    server.script = [raw(b"not gzip", Content_Encoding="gzip", Content_Length="8")]
    with pytest.raises(errors.ChatError):
        fetch(upstream)


def test_a_huge_error_body_is_read_only_as_far_as_it_is_quoted(server: ModelServer, upstream: Upstream) -> None:
    server.script = [refuse(400, "x" * 1_000_000)]
    with pytest.raises(errors.BadRequest) as caught:
        fetch(upstream)
    assert len(str(caught.value)) < 1_000
