"""What is persisted. Status transitions live here, one guarded method each."""

from swarm.models.call import Call
from swarm.models.check import CheckRun
from swarm.models.errors import WrongStatus
from swarm.models.event import Event
from swarm.models.execution import Execution
from swarm.models.lock import Conflict, FileLock
from swarm.models.node import Activity, Node
from swarm.models.period import Period
from swarm.models.token import ApiToken
from swarm.models.turn import Turn

__all__ = [
    "Activity",
    "ApiToken",
    "Call",
    "CheckRun",
    "Conflict",
    "Event",
    "Execution",
    "FileLock",
    "Node",
    "Period",
    "Turn",
    "WrongStatus",
]
