"""What every page shows besides its own content."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def model_notice(_request: HttpRequest) -> dict[str, bool]:
    """Whether this server is the demo, whose model is simulated; every page says so."""
    return {"is_demo": bool(settings.SWARM_DEMO_DIRECTORY)}
