"""One process of several that claim paths on one database: `python -m tests.locks.worker '{"nodes": [...], ...}'`.

It begins once a line comes in. Each node works in a thread of its own: story after story it claims some paths, in one
go or one after another, writes them (an event that tells the token, in the transaction that checks the claims), and
gives them up. It says `granted` at each claim that had to wait.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import django


def main(job: dict[str, Any]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "swarmsite.settings"
    from django.conf import settings

    settings.DATABASES["default"] = job["database"]
    settings.SWARM_LOCK_TTL = job.get("ttl_s", 3600.0)
    django.setup()
    from django.db import connections

    from swarm.locks import claims

    claims.POLL_S = job.get("poll_s", 3600.0)
    say("ready")
    sys.stdin.readline()
    is_over = threading.Event()
    heart = threading.Thread(target=beat, args=(job["nodes"], settings.SWARM_LOCK_TTL / 4, is_over))
    heart.start()
    threads = [threading.Thread(target=work, args=(node, job)) for node in job["nodes"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_over.set()
    heart.join()
    connections.close_all()


def beat(nodes: list[str], every_s: float, is_over: threading.Event) -> None:
    import uuid

    from django.db import connections

    from swarm.locks.claims import renew_claims

    while not is_over.wait(every_s):
        renew_claims([uuid.UUID(node) for node in nodes])
    connections.close_all()


def work(node_id: str, job: dict[str, Any]) -> None:
    from django.db import connections

    from swarm.errors import SwarmError
    from swarm.events.record import recording
    from swarm.locks.claims import release_claims
    from swarm.models import Node

    chance = random.Random(f"{job['seed']} {node_id}")
    written = 0
    while written < job.get("stories", 1):
        node = Node.objects.get(pk=node_id)
        try:
            write_story(node, chance, job)
            written += 1
        except SwarmError as error:
            if not error.retryable:
                raise
            time.sleep(chance.random() * 0.05)
            with recording(node.execution_id) as record:
                node.begin_attempt()
                release_claims(record, node)
    connections.close_all()


def write_story(node: Any, chance: random.Random, job: dict[str, Any]) -> None:
    from swarm.events.record import recording
    from swarm.locks.claims import check_claims, release_claims

    tokens = {}
    for paths in some_claims(chance, job["paths"]):
        for claim in claim_all(node, paths):
            tokens[claim.path] = claim.token
            if claim.waited_s:
                say("granted")
        time.sleep(chance.random() * job.get("pause_s", 0.0))
    with recording(node.execution_id) as record:
        check_claims(node, tokens)
        for path, token in tokens.items():
            record("test:written", node, path=path, token=token)
        release_claims(record, node)


def some_claims(chance: random.Random, paths: list[str]) -> list[list[str]]:
    """Up to three paths in any order, one by one or several at once; all of them if there is only one."""
    wanted = chance.sample(paths, min(len(paths), 3))
    return [wanted] if chance.random() < 0.4 else [[path] for path in wanted]


def claim_all(node: Any, paths: list[str]) -> list[Any]:
    from swarm.cancellation import Cancellation
    from swarm.locks.claims import claim_paths

    ignore: Callable[[str], None] = lambda holder: None  # noqa: E731
    return claim_paths(node, paths, policy="wait", timeout_s=120, cancellation=Cancellation(), on_wait=ignore)


_saying = threading.Lock()


def say(what: str) -> None:
    with _saying:
        sys.stdout.write(what + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
