"""How fast, and at what loss, 200 calls of 0.3 s get through a rate limit: our gateway beside its peers.

Each cell has a simulator of its own, in its own process, and one client in another, with 50 threads. The ideal is
what the server's budget allows at best: (200 − 10) ÷ 10 a second + 0.3 s = 19.3 s where requests are limited.
"429s" are in percent of calls. A ratio below 1 comes with failed calls.

The servers: limits `told` in headers; `hidden`: 429 with Retry-After only; `charged`: hidden, and rejected calls count
too; `half` of what the settings say, hidden; a budget of `tokens`; a hidden `cap` on concurrency, without Retry-After;
`two` processes that share the first one's budget (ours by Redis).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.limiter_clients.clients import CLIENTS, Endpoint
from tests.redis_server import redis_server

CALLS, THREADS, LATENCY_S = 200, 50, 0.3
RPM, BURST, TPM, CAP = 600, 10, 84_000, 5
LIMIT_S = 100.0
"""A client that is not done by then is stopped."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Counts:
    """What the simulator saw."""

    requests: int
    rate_limited: int
    tokens: int


@dataclass(frozen=True)
class Server:
    """One kind of server, what the user believes of it, and what we aim at there."""

    options: tuple[str, ...]
    ideal_s: Callable[[Counts], float]
    most_ratio: float
    most_429s_percent: float
    settings_rpm: int = 0
    true_rpm: int = 0
    prompt_characters: int = 0
    processes: int = 1
    clients: tuple[str, ...] = tuple(CLIENTS)


def _ideal_of_requests(rpm: int) -> Callable[[Counts], float]:
    return lambda _: (CALLS - BURST) / (rpm / 60) + LATENCY_S


def _ideal_of_tokens(counts: Counts) -> float:
    """Bodies differ a little from client to client, so the tokens that it is about are those that the server saw."""
    tokens = CALLS * counts.tokens / max(1, counts.requests - counts.rate_limited)
    return (tokens - TPM) / (TPM / 60) + LATENCY_S


LIMITED = ("--rpm", str(RPM), "--burst", str(BURST))
NOT_TOLD = ("openai", "adaptive", "ours")

SERVERS = {
    "told": Server(LIMITED, _ideal_of_requests(RPM), 1.03, 2, true_rpm=RPM),
    "hidden": Server((*LIMITED, "--hidden-limits"), _ideal_of_requests(RPM), 1.03, 15, true_rpm=RPM),
    "charged": Server(
        (*LIMITED, "--hidden-limits", "--charge-rejected"), _ideal_of_requests(RPM), 1.06, 15, true_rpm=RPM
    ),
    "half": Server(
        ("--rpm", str(RPM // 2), "--burst", str(BURST), "--hidden-limits"),
        _ideal_of_requests(RPM // 2),
        1.06,
        15,
        settings_rpm=RPM,
    ),
    "tokens": Server(("--tpm", str(TPM)), _ideal_of_tokens, 1.06, 15, prompt_characters=2_000, clients=NOT_TOLD),
    "cap": Server(
        ("--max-concurrent", str(CAP), "--hidden-limits"), lambda _: CALLS / CAP * LATENCY_S, 1.15, 15, clients=NOT_TOLD
    ),
    "two": Server(LIMITED, _ideal_of_requests(RPM), 1.06, 2, true_rpm=RPM, processes=2, clients=(*NOT_TOLD, "pyrate")),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.limiter", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="SERVER", help=f"of {', '.join(SERVERS)}"
    )
    parser.add_argument(
        "--clients",
        nargs="+",
        choices=CLIENTS,
        default=list(CLIENTS),
        metavar="CLIENT",
        help=f"of {', '.join(CLIENTS)}; by default all, which takes about twenty minutes",
    )
    arguments = parser.parse_args()
    print(f"{'server':<9} {'client':<10} {'ideal':>7} {'÷ ideal':>8} {'failed':>7} {'429s':>6} {'CPU':>8}", flush=True)
    missed = []
    for server in arguments.only:
        for client in arguments.clients:
            if client in SERVERS[server].clients and not _measure(server, client):
                missed.append(server)
    if "ours" in arguments.clients:
        print(f"GOALS MISSED by ours: {', '.join(missed)}" if missed else "goals met")
    return 1 if missed else 0


def _measure(name: str, client: str) -> bool:
    """Run one cell and print it; False if it is ours and misses its goal."""
    server = SERVERS[name]
    with ExitStack() as stack:
        base_url = stack.enter_context(_simulator(server))
        redis_url = stack.enter_context(redis_server()).url if server.processes > 1 else ""
        endpoint = Endpoint(base_url, server.settings_rpm, server.true_rpm, redis_url)
        outcome = _run(server, client, endpoint)
        counts = _counts(base_url)
    ideal_s = server.ideal_s(counts)
    head = f"{name:<9} {client:<10} {ideal_s:>5.1f} s"
    if isinstance(outcome, str):
        print(f"{head} {outcome}; {counts.rate_limited} 429s", flush=True)
        return client != "ours"
    ratio, rejected_percent = outcome.makespan_s / ideal_s, 100 * counts.rate_limited / CALLS
    print(
        f"{head} {ratio:>8.3f} {len(outcome.errors):>7} {rejected_percent:>4.0f} % {outcome.cpu_s:>6.2f} s",
        ", ".join(sorted(set(outcome.errors))),
        flush=True,
    )
    is_good = not outcome.errors and ratio <= server.most_ratio and rejected_percent <= server.most_429s_percent
    return client != "ours" or is_good


@dataclass(frozen=True)
class Outcome:
    """What it took, over all processes."""

    makespan_s: float
    errors: list[str]
    cpu_s: float


def _run(server: Server, client: str, endpoint: Endpoint) -> Outcome | str:
    """Let the processes begin together and wait for all; words if there is nothing to measure."""
    workers = [_worker(server, client, endpoint, number) for number in range(server.processes)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if (said := worker.stdout.readline().strip()) != "ready":
                return said or "does not start"
        for worker in workers:
            _tell(worker, "go")
        ends = [json.loads(worker.communicate(timeout=LIMIT_S)[0].splitlines()[-1]) for worker in workers]
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT_S:g} s"
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return Outcome(
        max(end["ended_at"] for end in ends) - min(end["started_at"] for end in ends),
        [error for end in ends for error in end["errors"]],
        sum(end["cpu_s"] for end in ends),
    )


def _worker(server: Server, client: str, endpoint: Endpoint, number: int) -> subprocess.Popen[str]:
    padding = "x" * server.prompt_characters
    prompts = [f"Call {call}: {padding}" for call in range(number, CALLS, server.processes)]
    job = {
        "client": client,
        "endpoint": asdict(endpoint),
        "prompts": prompts,
        "threads": THREADS // server.processes,
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.limiter_clients.worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _tell(worker, json.dumps(job))
    return worker


def _tell(worker: subprocess.Popen[str], line: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{line}\n")
    worker.stdin.flush()


@contextmanager
def _simulator(server: Server) -> Iterator[str]:
    """A simulator in a process of its own; its base URL."""
    command = [sys.executable, "manage.py", "simulator", "--port", "0", "--latency", str(LATENCY_S), *server.options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().partition("=")[2]
        finally:
            process.terminate()


def _counts(base_url: str) -> Counts:
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats", timeout=10) as response:
        stats = json.load(response)
    return Counts(stats["requests"], stats["rate_limited"], stats["tokens"])


if __name__ == "__main__":
    sys.exit(main())
