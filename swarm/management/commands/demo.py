"""The main job on an embedded default: a throw-away workspace and database, and a simulated model.

The command runs twice: the first run makes the folder and sets the environment, and replaces itself by a second one
whose settings read that environment.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.text import Text

from swarm.engine import lifecycle
from swarm.engine.backlog import open_workspace, read_backlog
from swarm.engine.executor import executor
from swarm.engine.report import ExecutionReport
from swarm.management.server import run_server
from swarm.management.terminal import console, printable, table, verdict, watch
from swarm.models import Execution
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import CHECK_COMMAND, make_workspace, run_acceptance
from swarm.workspace.checkout import checked_out

NOTICE = "Demo: a simulated model answers from the stories' own notes. No real model is called."


class Command(BaseCommand):
    help = "Runs a small backlog in a throw-away workspace with a simulated model; no key and no service is needed."

    requires_system_checks = ()  # of the user's own settings, which the demo does not use

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--stories", type=int, help="how many stories (default: all that the demo has)")
        parser.add_argument("--latency", type=float, default=1.0, help="seconds that the simulated model thinks")
        parser.add_argument("--exit", action="store_true", help="run without a server, print the result and exit")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SWARM_DEMO_DIRECTORY:
            self._prepare(options)
            return
        self._console = console(self.stdout)
        directory = Path(settings.SWARM_DEMO_DIRECTORY)
        try:
            self._run(directory, options)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _prepare(self, options: dict[str, Any]) -> None:
        """Make the folder, set the environment, and start this command anew in them."""
        if options["stories"] is not None and options["stories"] < 1:
            raise CommandError("--stories must be 1 or more.")
        if options["latency"] < 0:
            raise CommandError("--latency must be 0 or more seconds.")
        directory = Path(tempfile.mkdtemp(prefix="swarm-demo-"))
        workspace = make_workspace(directory / "workspace", options["stories"])
        own = {name: "" for name in os.environ if name.startswith("SWARM_")}
        environment = {
            **os.environ,
            **own,
            "SWARM_DEMO_DIRECTORY": str(directory),
            "SWARM_WORKSPACE": str(workspace),
            "SWARM_CHECK_COMMAND": CHECK_COMMAND,
            "SWARM_CHAT_BASE_URL": f"http://127.0.0.1:{_free_port()}/v1",
            "SWARM_CHAT_MODEL": "simulated-developer",
            "SWARM_CHAT_API_KEY": secrets.token_hex(8),
            "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
            "REDIS_URL": "",
            "SWARM_LOG_LEVEL": "WARNING",
            "SECRET_KEY": secrets.token_hex(32),
        }
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)

    def _run(self, directory: Path, options: dict[str, Any]) -> None:
        self._console.print(Text(NOTICE, style="bold"))
        call_command("migrate", interactive=False, verbosity=0)
        port = int(settings.SWARM_CHAT_BASE_URL.removesuffix("/v1").rpartition(":")[2])
        simulator = SimulatorServer(
            SimulatorOptions(port=port, latency_s=options["latency"], api_key=settings.SWARM_CHAT_API_KEY)
        )
        simulator.start()
        try:
            if options["exit"]:
                self._run_to_the_end(directory)
            else:
                self._serve(options["host"], options["port"])
        finally:
            simulator.stop()

    def _serve(self, host: str, port: int) -> None:
        password = secrets.token_urlsafe(9)
        get_user_model().objects.create_superuser("demo", password=password)
        execution = self._start()

        def greet() -> None:
            self._console.print(Text(f"Watch it:  http://{host}:{port}/executions/{execution.pk}/"))
            self._console.print(Text(f"Sign in:   demo / {password}"))
            self._console.print(
                Text(f"Workspace: {settings.SWARM_WORKSPACE} (removed when you stop the demo with Ctrl-C)")
            )

        run_server(host, port, greet)

    def _run_to_the_end(self, directory: Path) -> None:
        execution = self._start()
        report = watch(execution.pk, self._console)
        executor.drain()
        self._console.print(table(report))
        self._console.print(Text(verdict(report)))
        if not self._accept(directory, report):
            sys.exit(1)

    def _start(self) -> Execution:
        stories = [story.id for story in read_backlog().catalogue.ready()]
        return lifecycle.start(lifecycle.StartRequest(stories=stories), user=None)

    def _accept(self, directory: Path, report: ExecutionReport) -> bool:
        """Run every story's acceptance tests on the integrated result."""
        with checked_out(
            open_workspace(), commit=report["head_commit"], changes={}, root=directory / "accepted"
        ) as result:
            accepted = run_acceptance(result)
        if accepted.returncode == 0:
            self._console.print(Text("Every story's acceptance tests pass in the integrated result.", style="green"))
            return True
        self._console.print(Text(printable(accepted.stdout[-4000:])))
        self._console.print(Text("Acceptance tests fail in the integrated result.", style="red"))
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
