"""The verbs of the JSON API for a terminal: plan, execute, cancel, pause, resume, retry, review, and what shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.timezone import now
from rich.table import Table
from rich.text import Text

from swarm.engine import lifecycle
from swarm.engine.backlog import Backlog, read_backlog
from swarm.engine.executor import executor
from swarm.engine.plan_report import report_run
from swarm.engine.planning import plan_run, read_dependencies
from swarm.engine.recovery import Recovery
from swarm.engine.report import ExecutionReport, execution_report, execution_summaries
from swarm.errors import SwarmError
from swarm.locks.log import WEEK_S, ConflictFilter
from swarm.locks.people import break_lock
from swarm.management.review_verbs import ReviewVerbs
from swarm.management.signals import Stopped, on_first_signal, raise_stopped
from swarm.management.terminal import console, printable, show_plan, table, to_json, verdict, watch
from swarm.models import Conflict, Execution, FileLock, Node, WrongStatus

UNUSABLE = 2
BY = "command line"


class Command(ReviewVerbs):
    help = "Runs stories and looks after executions."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        execute = self._verb(verbs, "execute", "run stories and show how it goes")
        self._add_choice(execute)
        execute.add_argument("--all-ready", action="store_true", help="run every story that is ready for development")
        execute.add_argument("--max-attempts", type=int)
        execute.add_argument("--on-conflict", choices=Execution.OnConflict.values, default="wait")
        execute.add_argument(
            "--no-recheck", action="store_false", dest="recheck",
            help="do not check again where other stories have changed files that a story read",
        )  # fmt: skip
        execute.add_argument("--node-timeout", type=float, help="seconds")
        execute.add_argument("--token-budget", type=int, help="tokens that all nodes may use together")
        execute.add_argument("--node-token-budget", type=int, help="tokens that each node may use")
        execute.add_argument("--idempotency-key", help="the same key gives the same execution")
        execute.add_argument("--detach", action="store_true", help="run in the background and print the execution's id")
        self._add_choice(self._verb(verbs, "plan", "show how a run would start (default: of all ready stories)"))
        self._verb(verbs, "status", "show an execution").add_argument("execution", type=_execution_id)
        cancel = self._verb(verbs, "cancel", "stop an execution, or one node of it")
        cancel.add_argument("execution", type=_execution_id)
        cancel.add_argument("--node", type=_execution_id, help="stop only this node")
        pause = self._verb(verbs, "pause", "let an execution rest; each node stops after its turn")
        pause.add_argument("execution", type=_execution_id)
        pause.add_argument("--release", action="store_true", help="give the nodes' claims up to others meanwhile")
        for verb in (cancel, pause):
            verb.add_argument("--reason", default="")
        self._verb(
            verbs, "resume", "go on with an execution that is paused, or that nobody runs any more"
        ).add_argument("execution", type=_execution_id)
        retry = self._verb(verbs, "retry", "run failed nodes again")
        retry.add_argument("execution", type=_execution_id)
        retry.add_argument("nodes", nargs="*", metavar="NODE", type=_execution_id)
        retry.add_argument(
            "--from-last-turn", action="store_true", help="go on behind the last turn that came to something"
        )
        listing = self._verb(verbs, "list", "list executions, newest first")
        listing.add_argument("--status", choices=Execution.Status.values)
        listing.add_argument("--limit", type=int, default=50)
        locks = self._verb(verbs, "locks", "list the paths that are held, or break the lock of one")
        locks.add_argument("--break", dest="broken", metavar="PATH", help="take PATH from whoever holds it")
        locks.add_argument("--reason", default="", help="why the lock is broken")
        self._add_conflicts(self._verb(verbs, "conflicts", "list claims that were not granted at once, newest first"))
        self.add_review_verbs(partial(self._verb, verbs))

    def handle(self, *args: Any, **options: Any) -> None:
        verb: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['verb']}")
        try:
            verb(options)
        except SwarmError as error:
            raise CommandError(printable(error.message), returncode=UNUSABLE) from error
        except Execution.DoesNotExist as error:
            raise CommandError(f"There is no execution {options['execution']}.", returncode=UNUSABLE) from error
        except Node.DoesNotExist as error:
            where = f"Execution {options['execution']} has" if options.get("execution") else "There is"
            raise CommandError(f"{where} no node {options['node']}.", returncode=UNUSABLE) from error

    def _execute(self, options: dict[str, Any]) -> None:
        if options["detach"]:
            self._detach(options)
            return
        execution = lifecycle.start(
            lifecycle.StartRequest(
                stories=self._stories(options),
                depends_on=read_dependencies(options["depends_on"]),
                developers=options["developers"],
                max_attempts=options["max_attempts"],
                on_conflict=options["on_conflict"],
                recheck=options["recheck"],
                node_timeout=options["node_timeout"],
                token_budget=options["token_budget"],
                node_token_budget=options["node_token_budget"],
            ),
            user=None,
            idempotency_key=options["idempotency_key"],
        )
        for warning in execution.warnings:
            self.stderr.write(printable(warning))
        self._see_through(execution.pk, options)

    def _plan(self, options: dict[str, Any]) -> None:
        backlog = read_backlog()
        run = plan_run(
            backlog,
            options["stories"] or self._ready(backlog),
            depends_on=read_dependencies(options["depends_on"]),
            developers=options["developers"],
        )
        report = report_run(run)
        if options["json"]:
            self.stdout.write(to_json(report))
        else:
            show_plan(report, console(self.stdout))

    def _retry(self, options: dict[str, Any]) -> None:
        execution = lifecycle.retry(options["execution"], options["nodes"] or None, resume=options["from_last_turn"])
        self._see_through(execution.pk, options)

    def _status(self, options: dict[str, Any]) -> None:
        self._show(execution_report(Execution.objects.get(pk=options["execution"])), options)

    def _cancel(self, options: dict[str, Any]) -> None:
        execution = Execution.objects.get(pk=options["execution"])
        if options["node"]:
            node = execution.nodes.get(pk=options["node"])
            lifecycle.cancel_node(node.pk, by=BY, reason=options["reason"])
        else:
            lifecycle.cancel(execution.pk, by=BY, reason=options["reason"])
        self._status(options)

    def _pause(self, options: dict[str, Any]) -> None:
        lifecycle.pause(options["execution"], by=BY, reason=options["reason"], keep_claims=not options["release"])
        self._status(options)

    def _resume(self, options: dict[str, Any]) -> None:
        execution = Execution.objects.get(pk=options["execution"])
        if execution.is_active and not execution.paused_at:
            lifecycle.dispatch(execution.pk)
        else:
            lifecycle.resume(execution.pk, by=BY)
        self._see_through(execution.pk, options)

    def _list(self, options: dict[str, Any]) -> None:
        executions = Execution.objects.all()
        if options["status"]:
            executions = executions.filter(status=options["status"])
        summaries = execution_summaries(list(executions[: options["limit"]]))
        if options["json"]:
            self.stdout.write(to_json({"items": summaries}))
            return
        self._show_rows(
            [
                {"id": it["id"], "status": it["status"], "created": it["created_at"]} | it["progress"]
                for it in summaries
            ],
            options,
        )

    def _locks(self, options: dict[str, Any]) -> None:
        if options["broken"]:
            lost = break_lock(None, options["broken"], reason=options["reason"])
            self.stderr.write(printable(f"{lost.path} was taken from {lost.holder}."))
        held = FileLock.objects.held(now()).select_related("node", "user")
        self._show_rows(
            [
                {"path": it.path, "holder": it.holder, "locked_at": it.locked_at, "expires_at": it.expires_at}
                for it in held
            ],
            options,
        )

    def _conflicts(self, options: dict[str, Any]) -> None:
        names = ("execution", "node", "story", "path", "outcome", "policy", "longer_than_s")
        conflicts = ConflictFilter(**{name: options[name] for name in names}).rows(now()).select_related("node")
        self._show_rows(
            [
                {
                    "path": it.path, "wanted_by": str(it.node), "held_by": it.held_by, "asked_at": it.asked_at,
                    "outcome": it.outcome, "waited": round(it.waited.total_seconds(), 3),
                }
                for it in conflicts[:500]
            ],
            options,
        )  # fmt: skip

    def _stories(self, options: dict[str, Any]) -> list[str]:
        if not options["all_ready"]:
            return list(options["stories"])
        if options["stories"]:
            raise CommandError("Name stories, or use --all-ready, not both.", returncode=UNUSABLE)
        return self._ready(read_backlog())

    @staticmethod
    def _ready(backlog: Backlog) -> list[str]:
        ready = [story.id for story in backlog.catalogue.ready()]
        if not ready:
            raise CommandError("No story is ready for development; name the stories to run.", returncode=UNUSABLE)
        return ready

    def _see_through(self, execution_id: uuid.UUID, options: dict[str, Any]) -> None:
        """Watch an execution that runs in this process to its end and exit with what came of it."""
        exit_status = 0
        recovery = Recovery(execution_id)
        recovery.start()
        with on_first_signal(raise_stopped):
            try:
                watch(execution_id, console(self.stderr if options["json"] else self.stdout))
                executor.drain()
            except Stopped as stopped:
                exit_status = stopped.exit_status
                self._stop(execution_id, stopped)
            finally:
                recovery.stop()
        report = execution_report(Execution.objects.get(pk=execution_id))
        self._show(report, options)
        if report["paused"]:
            paused = report["paused"]
            self.stderr.write(
                printable(f"Paused by {paused['by']}. {paused['reason']} To go on: {_resume(execution_id)}")
            )
        if exit_status or report["status"] != Execution.Status.COMPLETED:
            sys.exit(exit_status or 1)

    def _stop(self, execution_id: uuid.UUID, stopped: Stopped) -> None:
        """Ctrl-C cancels the execution; a SIGTERM is about this process only, so another may go on with the rest."""
        if stopped.number == signal.SIGINT:
            with suppress(WrongStatus):  # It ended by itself meanwhile.
                lifecycle.cancel(execution_id, by=BY, reason="Interrupted at the terminal.")
            executor.drain()
            return
        if not lifecycle.shut_down(settings.SWARM_DRAIN_TIMEOUT):
            os._exit(stopped.exit_status)
        self.stderr.write(f"Stopped. A server goes on with it, or: {_resume(execution_id)}")

    def _detach(self, options: dict[str, Any]) -> None:
        """Start this very command again in a session of its own, and wait until its execution is recorded."""
        key = options["idempotency_key"] or str(uuid.uuid4())
        arguments = [argument for argument in sys.argv if argument != "--detach"]
        with tempfile.TemporaryFile() as log:
            child = subprocess.Popen(
                [sys.executable, *arguments, "--idempotency-key", key],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            while not (execution := Execution.objects.filter(created_by=None, idempotency_key=key).first()):
                if child.poll() is not None:
                    log.seek(0)
                    raise CommandError(printable(log.read().decode(errors="replace").strip()), returncode=UNUSABLE)
                time.sleep(0.1)
        if options["json"]:
            self.stdout.write(to_json(execution_report(execution)))
        else:
            self.stdout.write(f"{execution.pk} runs in the background (process {child.pid}).")

    def _show(self, report: ExecutionReport, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(to_json(report))
            return
        out = console(self.stdout)
        out.print(table(report))
        out.print(Text(verdict(report)))

    def _show_rows(self, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(to_json({"items": rows}))
        elif not rows:
            self.stdout.write("None.")
        else:
            shown = Table(*(heading.replace("_", " ") for heading in rows[0]))
            for row in rows:
                shown.add_row(*(Text(printable(value)) for value in row.values()))
            console(self.stdout).print(shown)

    @staticmethod
    def _add_choice(parser: CommandParser) -> None:
        """What decides how a run starts."""
        parser.add_argument("stories", nargs="*", metavar="STORY")
        parser.add_argument("--developers", type=int, help="nodes at work at once (default: one a story)")
        parser.add_argument(
            "--depends-on", action="append", default=[], metavar="STORY:OTHER",
            help="STORY starts when OTHER is done; repeatable",
        )  # fmt: skip

    @staticmethod
    def _add_conflicts(parser: CommandParser) -> None:
        """Which conflicts to list."""
        parser.add_argument("--execution", type=_execution_id)
        parser.add_argument("--node", type=_execution_id)
        parser.add_argument("--story", default="", help="id of the story that wanted the file")
        parser.add_argument("--path", default="", help="a part of the path")
        parser.add_argument("--outcome", choices=Conflict.Outcome.values, default="")
        parser.add_argument("--policy", choices=Execution.OnConflict.values, default="")
        parser.add_argument(
            "--longer-than", dest="longer_than_s", type=_seconds, metavar="SECONDS", help="waits that took longer"
        )

    @staticmethod
    def _verb(verbs: Any, name: str, help_text: str) -> CommandParser:
        parser: CommandParser = verbs.add_parser(name, help=help_text)
        parser.add_argument("--json", action="store_true", help="print JSON only")
        return parser


def _seconds(text: str) -> float:
    """Read a duration that a wait can have; argparse turns the ValueError into a message."""
    seconds = float(text)
    if not 0 <= seconds <= WEEK_S:
        raise ValueError(text)
    return seconds


def _resume(execution_id: uuid.UUID) -> str:
    return f"manage.py swarm resume {execution_id}"


def _execution_id(text: str) -> uuid.UUID:
    """Read an id; argparse turns the ValueError into a message."""
    return uuid.UUID(text)
