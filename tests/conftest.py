"""What every test may use: the database chosen by `--database`, users, and settings that point at test servers.

`pytest` runs on SQLite; `pytest --database postgresql` runs the same tests on a real PostgreSQL, started here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import environ
import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connections
from hypothesis import settings as hypothesis_settings

from swarm.chat.gateway import close_gateway
from swarm.engine.executor import executor
from swarm.engine.lifecycle import shut_down
from swarm.engine.model_client import model_door
from swarm.engine.retry_policy import decide
from swarm.simulator.workspace import CHECK_COMMAND, make_workspace
from tests.chat.server import ModelServer, model_server
from tests.factories import wait_until
from tests.main_job import MainJob
from tests.postgresql_server import postgresql_server
from tests.served import serving

# A busy machine must not fail a property, and every run tries the same examples.
hypothesis_settings.register_profile("swarm", deadline=None, derandomize=True)
hypothesis_settings.load_profile("swarm")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=["sqlite", "postgresql"], default="sqlite", help="database to test on")
    parser.addoption("--no-skips", action="store_true", help="fail if a test is skipped, as CI does")


def pytest_configure() -> None:
    """Hash passwords fast: slowness is what the real hasher is for, and nothing here tests that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, visibly as deselected, what only makes sense on the other database."""
    if config.getoption("--database") == "postgresql":
        return
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must run, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The address of a real PostgreSQL server that lives as long as the test session."""
    with postgresql_server() as server:
        yield server.get_uri()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Point Django at this session's own database, before pytest-django makes the test database."""
    database = settings.DATABASES["default"]
    if request.config.getoption("--database") == "sqlite":
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("db") / "test.sqlite3")
        return
    url = request.getfixturevalue("postgresql_url")
    postgresql = environ.Env.db_url_config(url)
    postgresql["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 80, "timeout": 30}
    settings.DATABASES["default"] = postgresql
    connections.settings = connections.configure_settings(settings.DATABASES)
    for alias in connections:
        if hasattr(connections._connections, alias):
            del connections[alias]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let sessions end that killed processes and ending threads leave for a moment, before the database is dropped."""
    if request.config.getoption("--database") == "sqlite":
        yield
        return
    url = request.getfixturevalue("postgresql_url")
    yield
    with django_db_blocker.unblock(), psycopg.connect(url, autocommit=True) as server:
        connections["default"].close()
        connections["default"].close_pool()
        name = connections["default"].settings_dict["NAME"]
        others = "SELECT FROM pg_stat_activity WHERE datname = %s"
        wait_until(lambda: server.execute(others, [name]).fetchone() is None)


@pytest.fixture
def viewer(db: Any) -> User:
    """Somebody who may look and no more."""
    return User.objects.create_user("viewer", password="viewer-password")


@pytest.fixture
def operator(db: Any) -> User:
    """Somebody who may execute, cancel, retry and lock."""
    user = User.objects.create_user("operator", password="operator-password")
    user.user_permissions.add(Permission.objects.get(codename="operate", content_type__app_label="swarm"))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def repository_root() -> Path:
    return Path(settings.BASE_DIR)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A model server on loopback whose answers the test decides."""
    with model_server() as server:
        yield server


@pytest.fixture(scope="session")
def own_server() -> Iterator[str]:
    """The app itself, served on loopback; its address."""
    with serving() as url:
        yield url


@pytest.fixture(params=["in process", "over HTTP"])
def each_way(request: pytest.FixtureRequest, settings: Any) -> None:
    """Run the test twice: with nodes that call the gateway in this process, and with nodes that call /api/chat."""
    is_over_http = request.param == "over HTTP"
    settings.SWARM_CHAT_URL = f"{request.getfixturevalue('own_server')}/api/chat" if is_over_http else ""


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr("swarm.engine.attempts.decide", partial(decide, jitter=lambda low, high: 0.0))


@pytest.fixture
def main_job(transactional_db: None, settings: Any, tmp_path: Path, model: ModelServer) -> Iterator[MainJob]:
    """The demo's workspace, with the simulated developer behind a real HTTP server."""
    settings.SWARM_WORKSPACE = str(make_workspace(tmp_path / "workspace"))
    settings.SWARM_STORIES = ""
    settings.SWARM_CHECK_COMMAND = CHECK_COMMAND
    settings.SWARM_CHAT_BASE_URL = model.url
    settings.SWARM_CHAT_MODEL = "simulated-developer"
    close_gateway()
    yield MainJob(Path(settings.SWARM_WORKSPACE), model)
    shut_down()
    executor.open()
    model_door.close()
    close_gateway()
