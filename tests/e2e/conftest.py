"""A real server in a process of its own, a simulated model, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from playwright.sync_api import Browser, Page, sync_playwright

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import CHECK_COMMAND, make_workspace
from tests.ports import free_port

CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
USER, PASSWORD = "ada", "correct-horse-battery"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser") and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no chromium on PATH: apt-get install chromium"))


@dataclass
class Served:
    """A running server; `environment` lets commands work on the same database and workspace."""

    url: str
    environment: dict[str, str]
    workspace: Path

    def manage(self, *arguments: str) -> str:
        """Run a management command beside the server and return what it prints."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the server's own, on what `--database` says."""
    if request.config.getoption("--database") == "sqlite":
        return f"sqlite:///{tmp_path / 'served.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    name = f"served_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def served(database_url: str, tmp_path: Path, repository_root: Path) -> Iterator[Served]:
    workspace = make_workspace(tmp_path / "workspace")
    port = free_port()
    with SimulatorServer(SimulatorOptions(latency_s=0.4)) as simulator:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SWARM_")},
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DATABASE_URL": database_url,
            "REDIS_URL": "",
            "SECRET_KEY": "only-for-this-test-" * 3,
            "SWARM_WORKSPACE": str(workspace),
            "SWARM_CHECK_COMMAND": CHECK_COMMAND,
            "SWARM_CHAT_BASE_URL": simulator.base_url,
            "SWARM_CHAT_MODEL": "simulated-developer",
        }
        served = Served(f"http://127.0.0.1:{port}", environment, workspace)
        served.manage("migrate", "--verbosity", "0")
        served.manage("createsuperuser", "--noinput", "--username", USER, "--email", "ada@swarm.invalid")
        server = subprocess.Popen([sys.executable, "manage.py", "serve", "--port", str(port)], env=environment)
        try:
            wait_until_ready(served.url, server)
            yield served
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers; fail if it ends or takes more than a minute."""
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            if requests.get(f"{url}/readyz", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which an error in the console, or an uncaught one, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
