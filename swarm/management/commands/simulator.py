"""`manage.py simulator`: serve the simulated model until Ctrl-C."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from swarm.errors import SwarmError
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.protocol import MODEL
from swarm.simulator.server import SimulatorServer


class Command(BaseCommand):
    help = "Serve an OpenAI-compatible API that plays a developer; no model is called. Ctrl-C ends it."
    # It needs neither the database nor any setting.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        default = SimulatorOptions()
        parser.add_argument("--host", default=default.host, help="address to listen on (%(default)s)")
        parser.add_argument("--port", type=int, default=8001, help="port, 0 for a free one (%(default)s)")
        parser.add_argument(
            "--latency", type=float, default=default.latency_s, help="seconds a reply takes (%(default)s)"
        )
        parser.add_argument("--jitter", type=float, default=default.jitter_s, help="most seconds added by chance (0)")
        parser.add_argument(
            "--rpm", type=int, default=default.rpm, help="requests a minute, 0 for no limit (%(default)s)"
        )
        parser.add_argument(
            "--tpm", type=int, default=default.tpm, help="tokens a minute, 0 for no limit (%(default)s)"
        )
        parser.add_argument("--burst", type=int, default=default.burst, help="requests at once; 0: as many as --rpm")
        parser.add_argument("--fault-rate", type=float, default=default.fault_rate, help="share of 503s, 0 to 1 (0)")
        parser.add_argument("--seed", type=int, default=default.seed, help="of jitter and faults (%(default)s)")
        parser.add_argument("--api-key", default=default.api_key, help="key that callers must send; none by default")

    def handle(self, **options: Any) -> None:
        try:
            server = SimulatorServer(
                SimulatorOptions(
                    host=options["host"],
                    port=options["port"],
                    latency_s=options["latency"],
                    jitter_s=options["jitter"],
                    rpm=options["rpm"],
                    tpm=options["tpm"],
                    burst=options["burst"],
                    fault_rate=options["fault_rate"],
                    seed=options["seed"],
                    api_key=options["api_key"],
                )
            )
            server.start()
        except SwarmError as error:
            raise CommandError(error.message) from error
        with server, suppress(KeyboardInterrupt):
            self.stdout.write(f"SWARM_CHAT_BASE_URL={server.base_url}")
            self.stdout.write(f"SWARM_CHAT_MODEL={MODEL}")
            self.stdout.write("This is a simulator: it plays a developer, no real model is called. Ctrl-C ends it.")
            self.stdout.flush()
            threading.Event().wait()
        self.stdout.write("The simulator has ended.")
