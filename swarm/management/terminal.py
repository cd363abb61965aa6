"""Shows executions in a terminal: a table that moves in a real one, plain lines in a pipe.

Titles, details and errors may come from models, so control characters never reach the terminal.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, TextIO

from django.core.serializers.json import DjangoJSONEncoder
from django.db import close_old_connections
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swarm.engine.report import ExecutionReport, NodeReport, execution_report
from swarm.models import Event, Execution

REFRESH_S = 0.25
MARKS = {"completed": "✔", "failed": "✘", "cancelled": "■", "running": "▶", "pending": "·"}
COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "pending": "dim"}


def printable(text: object) -> str:
    """`text` without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def to_json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, indent=2)


def watch(execution_id: uuid.UUID, out: TextIO) -> ExecutionReport:
    """Show an execution until it ends, and return how it ended."""
    console = Console(file=out)
    if not console.is_terminal:
        return _follow(execution_id, console)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            report = _read(execution_id)
            live.update(table(report), refresh=True)
            if report["status"] not in Execution.ACTIVE:
                return report
            time.sleep(REFRESH_S)


def table(report: ExecutionReport) -> Table:
    """The nodes of an execution, a row each."""
    shown = Table(title=f"Execution {report['id']}: {report['status']}", title_justify="left")
    for heading in ("Developer", "Story", "State", "Activity"):
        shown.add_column(heading, overflow="ellipsis", no_wrap=heading != "Activity")
    for heading in ("Time", "Work", "Lock wait", "Budget wait", "Calls"):
        shown.add_column(heading, justify="right")
    for node in report["nodes"]:
        shown.add_row(
            node["name"],
            Text(printable(f"{node['story']['id']} {node['story']['title']}")),
            Text(f"{MARKS[node['status']]} {node['status']}", style=COLOURS[node["status"]]),
            Text(_activity(node)),
            *(_seconds(node[key]) for key in ("duration", "work_time", "lock_wait", "budget_wait")),
            str(node["usage"]["calls"]),
        )
    return shown


def verdict(report: ExecutionReport) -> str:
    """The NFR-1 verdict with its numbers, in a sentence."""
    measured = report["parallelism"]
    if measured["ratio"] is None or measured["single_story"] is None:
        return f"NFR-1: nothing to say. {measured['reason']}"
    numbers = (
        f"{measured['makespan']:.2f} s for all, {measured['single_story']:.2f} s of work for one, "
        f"ratio {measured['ratio']:.2f} (must be below 2)"
    )
    if measured["verified"] is None:
        return f"NFR-1: nothing to say ({numbers}). {measured['reason']}"
    return f"NFR-1: {'verified' if measured['verified'] else 'NOT verified'}: {numbers}"


def _follow(execution_id: uuid.UUID, console: Console) -> ExecutionReport:
    """Print a line for each event that tells of a node's start, end, retry or conflict."""
    seq = 0
    while True:
        report = _read(execution_id)
        for event in Event.objects.after(execution_id, seq).filter(seq__lte=report["last_seq"]):
            seq = event.seq or seq
            if event.type not in {"swarm:node-progress", "file:locked", "file:unlocked", "swarm:progress"}:
                console.print(Text(_line(event)), soft_wrap=True)
        if report["status"] not in Execution.ACTIVE:
            return report
        time.sleep(REFRESH_S)


def _line(event: Event) -> str:
    data = event.data
    who = f"{data['name']} (story {data['story']})" if "name" in data else ""
    more = [str(data[key]) for key in ("path", "outcome", "status") if key in data and not who]
    if "error" in data:
        more.append(f"{data['error']['code']}: {data['error']['message']}")
    return printable(" ".join(filter(None, [f"{event.at:%H:%M:%S}", event.type, who, *more])))[:500]


def _read(execution_id: uuid.UUID) -> ExecutionReport:
    close_old_connections()
    return execution_report(Execution.objects.get(pk=execution_id))


def _activity(node: NodeReport) -> str:
    if node["error"]:
        return printable(f"{node['error']['code']}: {node['error']['message']}")
    return printable(f"{node['activity']} {node['detail']}" if node["status"] == "running" else "")


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, float) else ""
