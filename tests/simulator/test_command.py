from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer

LIMITS = ("--rpm", "60", "--max-concurrent", "9", "--hidden-limits", "--charge-rejected")
FAULTS = ("--fault", "html_page", "--fault", "slow:0", "--fault-rate", "0")
HELLO = {"model": "simulator", "messages": [{"role": "user", "content": "Hello"}]}


def test_it_serves_until_ctrl_c_and_says_that_it_is_no_model(repository_root: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulator", "--port", "0", "--api-key", "secret", *LIMITS, *FAULTS],
        cwd=repository_root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        base_url = process.stdout.readline().strip().removeprefix("SWARM_CHAT_BASE_URL=")
        headers = {"Authorization": "Bearer secret"}
        assert requests.get(f"{base_url}/models", timeout=30).status_code == 401
        assert requests.get(f"{base_url}/models", headers=headers, timeout=30).status_code == 200
        answer = requests.post(f"{base_url}/chat/completions", json=HELLO, headers=headers, timeout=30)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert "no real model is called" in rest
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--port", "70000", "port"),
        ("--port", "http", "port"),
        ("--latency", "-1", "latency"),
        ("--jitter", "nan", "jitter"),
        ("--rpm", "-5", "rpm"),
        ("--tpm", "many", "tpm"),
        ("--burst", "-1", "burst"),
        ("--max-concurrent", "-1", "max-concurrent"),
        ("--fault-rate", "2", "share of status_503 is 2"),
        ("--fault", "smoke", "fault 'smoke' is unknown"),
        ("--fault", "slow:often", "share of the fault 'slow:often' is no number"),
        ("--fault", "slow:-1", "share of slow"),
        ("--seed", "1.5", "seed"),
    ],
)
def test_a_bad_value_is_named(option: str, value: str, named: str) -> None:
    with pytest.raises(CommandError, match=named):
        call_command("simulator", f"{option}={value}")


def test_a_port_in_use_is_named() -> None:
    with SimulatorServer(SimulatorOptions()) as server:
        port = server.base_url.removesuffix("/v1").rpartition(":")[2]
        with pytest.raises(CommandError, match=port):
            call_command("simulator", "--port", port)
