"""`manage.py simulator`: serve the simulated model until Ctrl-C."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from swarm.errors import SwarmError
from swarm.simulator.faults import Fault, parse_fault
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
        parser.add_argument(
            "--max-concurrent",
            type=int,
            default=default.max_concurrent,
            help="requests answered at once, 429 without Retry-After for more; 0 for any number (%(default)s)",
        )
        parser.add_argument(
            "--hidden-limits",
            action="store_true",
            help="tell of no limit in headers; a 429 has nothing but Retry-After",
        )
        parser.add_argument(
            "--charge-rejected", action="store_true", help="count requests answered with 429 against --rpm as well"
        )
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME[:SHARE]",
            help="let this share of all requests, 0 to 1, meet a fault; all of them without a share. "
            f"May be given more than once. NAME is one of {', '.join(Fault)}",
        )
        parser.add_argument(
            "--fault-rate", type=float, default=0.0, metavar="SHARE", help="short for --fault status_503:SHARE (0)"
        )
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
                    max_concurrent=options["max_concurrent"],
                    hides_limits=options["hidden_limits"],
                    charges_rejected=options["charge_rejected"],
                    fault_shares={Fault.STATUS_503: options["fault_rate"]} | dict(map(parse_fault, options["fault"])),
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
