"""Gives names to what goes wrong around a node: the disk and the repository; and waits for a database that is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections

from swarm.errors import SwarmError
from swarm.workspace.repository import Repository
from swarm.workspace.trouble import disk_trouble

log = structlog.get_logger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError)
"""What a statement raises when the server is gone, restarts, is full, or gave up a transaction of two that met."""
RECONNECT_S = 1.0

Value = TypeVar("Value")


def once_database_is_back(do: Callable[[], Value]) -> Value:
    """Do what needs the database, again and again until it is there; each time on a connection that works."""
    while True:
        close_old_connections()
        try:
            return do()
        except DATABASE_AWAY as error:
            log.warning("database.away", error=str(error))
            time.sleep(RECONNECT_S)


def environmental_error(error: Exception, workspace: Path) -> SwarmError | None:
    """The named error behind an exception that nothing else has named; None if it looks like a defect of Swarm."""
    if trouble := disk_trouble(error):
        return trouble
    try:
        Repository.open(workspace)
    except SwarmError as gone:
        return gone
    return None
