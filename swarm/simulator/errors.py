"""What can go wrong with the simulated model and the demo's workspace."""

from __future__ import annotations

from swarm.errors import SwarmError


class InvalidOption(SwarmError):
    """An option of the simulator or of the demo's workspace is outside its range."""

    code = "invalid_option"


class CannotListen(SwarmError):
    """The simulator's host and port cannot be listened on."""

    code = "cannot_listen"


class DirectoryNotEmpty(SwarmError):
    """The demo's workspace was to be made in a folder that already holds something."""

    code = "directory_not_empty"
