"""One process of several that share a limiter: `python -m tests.chat.shared_worker '{"url": …}'`.

It begins once a line comes in. It prints a line for each slot it got: when by the limiter's clock, and from when to
when by the machine's it was held; and at the end what it believes.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from typing import Any

import structlog

from swarm.cancellation import Cancellation
from swarm.chat.limiter import Demand, Limits, Told, commons
from swarm.chat.shared import SharedHome
from swarm.chat.throttle import Throttle


def main(
    *, url: str, key: str, limits: dict[str, int], threads: int, calls: int, latency_s: float, lease_s: float
) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    commons.LEASE_S = lease_s
    throttle = Throttle(SharedHome(url, key, Limits(**limits), random.random))
    execution = throttle._home.owner
    say({"is_ready": True})
    sys.stdin.readline()

    def work() -> None:
        for _ in range(calls):
            ticket = throttle.acquire(
                Demand(execution, "n", is_finishing=False, tokens=1),
                deadline_at=time.monotonic() + 60,
                cancellation=Cancellation(),
                on_wait=lambda reason, expected_s: None,
            )
            began_at = time.time()
            say({"sent_at": ticket.sent_at})
            time.sleep(latency_s)
            say({"held": [began_at, time.time()]})
            throttle.answered(ticket, Told(), None)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    say({"state": throttle.state()})
    throttle.close()


_saying = threading.Lock()


def say(what: dict[str, Any]) -> None:
    with _saying:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
