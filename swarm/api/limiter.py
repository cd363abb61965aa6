"""The limiter in front of the model: what it believes and who waits in it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from swarm.chat.gateway import get_gateway

router = Router(tags=["model"])


@router.get("/limiter", response=dict[str, Any])
def limiter(request: HttpRequest) -> Any:
    """The limits, where each is known from, and who waits for what, by model; for all that share a Redis."""
    return get_gateway().state()
