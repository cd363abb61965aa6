"""The address at which a server's own nodes call it."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.management.server import own_chat


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123/api/chat"),
        ("0.0.0.0", "http://127.0.0.1:8123/api/chat"),
        ("::", "http://[::1]:8123/api/chat"),
        ("::1", "http://[::1]:8123/api/chat"),
        ("localhost", "http://localhost:8123/api/chat"),
        ("192.0.2.7", "http://192.0.2.7:8123/api/chat"),
    ],
)
def test_nodes_call_over_loopback_where_the_server_listens_everywhere(host: str, url: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert own_chat(host, 8123).url == url


def test_nodes_name_a_host_that_is_allowed_and_pass_for_what_the_proxy_lets_through(settings: Any) -> None:
    settings.ALLOWED_HOSTS = [".swarm.example"]
    settings.SECURE_SSL_REDIRECT = True
    assert own_chat("127.0.0.1", 8000).headers == {"Host": "swarm.example", "X-Forwarded-Proto": "https"}
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    settings.SECURE_SSL_REDIRECT = False
    for host in ("127.0.0.1", "localhost", "::1"):
        assert own_chat(host, 8000).headers == {}
