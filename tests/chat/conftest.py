"""A scripted model server and gateways that are closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarm.chat.gateway import Gateway, GatewaySettings
from swarm.chat.retries import RetryPolicy
from tests.chat.server import ModelServer, model_server


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.fixture
def make_gateway(server: ModelServer) -> Iterator[Callable[..., Gateway]]:
    """Makes gateways to `server` whose retries do not wait long."""
    made: list[Gateway] = []

    def make(**settings: Any) -> Gateway:
        defaults: dict[str, Any] = {
            "base_url": server.url,
            "api_key": "sk-secret",
            "model": "test-model",
            "retry_policy": RetryPolicy(base_s=0.001),
        }
        made.append(Gateway(GatewaySettings(**(defaults | settings))))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()
