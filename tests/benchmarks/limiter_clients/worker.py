"""One process of a measurement: reads its job, says "ready", waits for a line, and prints what its calls took.

Job and result are a line of JSON each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.limiter_clients.clients import CLIENTS, Ask, Endpoint


def main() -> None:
    job = json.loads(sys.stdin.readline())
    try:
        ask = CLIENTS[job["client"]](Endpoint(**job["endpoint"]))
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed", flush=True)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(_measure(ask, job)), flush=True)
    os._exit(0)  # some clients leave threads behind


def _measure(ask: Ask, job: dict[str, Any]) -> dict[str, Any]:
    """Instants in Unix seconds, the error of each call that failed, and CPU seconds of this process."""

    def error_of(prompt: str) -> str:
        try:
            ask(prompt)
        except Exception as error:  # whatever a client calls it
            return type(error).__name__
        return ""

    with ThreadPoolExecutor(job["threads"]) as pool:
        started_at, cpu_s = time.time(), time.process_time()
        errors = [error for error in pool.map(error_of, job["prompts"]) if error]
    return {"started_at": started_at, "ended_at": time.time(), "errors": errors, "cpu_s": time.process_time() - cpu_s}


if __name__ == "__main__":
    main()
