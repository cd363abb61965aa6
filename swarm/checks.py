"""Django system checks that explain settings which cannot work, and what to write instead."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from swarmsite.settings import environment


@register()
def check_environment(**_: object) -> list[CheckMessage]:
    """Every variable that could not be read."""
    return [Error(problem.message, hint=problem.hint, id="swarm.E001") for problem in environment.problems]


@register()
def check_model(**_: object) -> list[CheckMessage]:
    """The endpoint's address must be an HTTP one; it may hold a password, so it is not repeated."""
    if _is_http_address(settings.SWARM_CHAT_BASE_URL):
        return []
    return [
        Error(
            "SWARM_CHAT_BASE_URL is not an HTTP address.",
            hint="Use the address of an OpenAI-compatible endpoint, such as https://api.openai.com/v1.",
            id="swarm.E002",
        )
    ]


@register()
def check_chat_url(**_: object) -> list[CheckMessage]:
    """Where nodes send their calls must be an HTTP address, if it is set."""
    if not settings.SWARM_CHAT_URL or _is_http_address(settings.SWARM_CHAT_URL):
        return []
    return [
        Error(
            "SWARM_CHAT_URL is not an HTTP address.",
            hint="Use the address of a server's /api/chat, or leave it out: a server's nodes then call its own.",
            id="swarm.E003",
        )
    ]


@register()
def check_secret_key(**_: object) -> list[CheckMessage]:
    """Without a key of its own a server forgets every session when it restarts."""
    if not settings.SECRET_KEY_IS_TEMPORARY or settings.SWARM_DEMO_DIRECTORY:
        return []
    return [
        CheckWarning(
            "SECRET_KEY is not set; a random one is used, so everybody is signed out at each restart.",
            hint="Set SECRET_KEY to a long random string that stays the same.",
            id="swarm.W001",
        )
    ]


def _is_http_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
