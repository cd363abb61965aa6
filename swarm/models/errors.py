from __future__ import annotations

from swarm.errors import SwarmError


class WrongStatus(SwarmError):
    """A status change was asked for that the present status does not allow; the row was left as it is."""

    code = "wrong_status"
