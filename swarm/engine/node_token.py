"""The tokens by which /api/chat knows a developer node: signed with the site's key, for one caller and one minute.

Made anew for each call and stored nowhere, so that nothing has to be renewed or revoked.
"""

from __future__ import annotations

from dataclasses import asdict

from django.core import signing

from swarm.chat.gateway import Caller

PREFIX = "node."
"""Sets them apart from the API tokens of people."""

LIFE_S = 60
"""Within which a call must arrive; it may last longer."""

_SALT = "swarm.engine.node_token"


def issue_node_token(caller: Caller) -> str:
    """A token with which `caller` may chat."""
    return PREFIX + signing.dumps(asdict(caller), salt=_SALT)


def read_node_token(token: str) -> Caller | None:
    """Whose token this is; None if it is not one of this site's, or too old."""
    if not token.startswith(PREFIX):
        return None
    try:
        return Caller(**signing.loads(token.removeprefix(PREFIX), salt=_SALT, max_age=LIFE_S))
    except signing.BadSignature:
        return None
