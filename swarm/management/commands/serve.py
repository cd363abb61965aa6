"""Serves the app."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from swarm.management.server import run_server


class Command(BaseCommand):
    help = "Migrates the database, checks the settings and serves HTTP and WebSockets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        host, port = options["host"], options["port"]
        run_server(host, port, lambda: self.stdout.write(f"Swarm serves on http://{host}:{port}/ (Ctrl-C stops it)."))
