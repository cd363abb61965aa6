"""The limiter: which call may go to the model now, decided by values alone.

Pure (standard library only): no threads, no sleeping, no clock and no chance of its own.
"""

from swarm.chat.limiter.core import Limiter
from swarm.chat.limiter.decisions import Cause, Grant, Limits, Reason, Wait
from swarm.chat.limiter.estimate import TokenEstimate
from swarm.chat.limiter.headers import Quota, Told, read_headers
from swarm.chat.limiter.queue import Demand, Ticket

__all__ = [
    "Cause",
    "Demand",
    "Grant",
    "Limiter",
    "Limits",
    "Quota",
    "Reason",
    "Ticket",
    "TokenEstimate",
    "Told",
    "Wait",
    "read_headers",
]
