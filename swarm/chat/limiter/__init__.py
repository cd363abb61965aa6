"""The limiter: which call may go to the model now, decided by values alone.

Pure (standard library only): no threads, no sleeping, no clock and no chance of its own.
"""

from swarm.chat.limiter.core import Cause, Grant, Limiter, Limits, Reason, Wait
from swarm.chat.limiter.estimate import TokenEstimate
from swarm.chat.limiter.headers import Quota, Told, read_headers
from swarm.chat.limiter.queue import Ticket

__all__ = [
    "Cause",
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
