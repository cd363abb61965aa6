"""Shows executions in a terminal: a table that moves in a real one, plain lines in a pipe.

Titles, details and errors may come from models, so control characters never reach the terminal.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from functools import partial
from typing import IO, Any, cast

from django.core.management.base import OutputWrapper
from django.core.serializers.json import DjangoJSONEncoder
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swarm.engine.environment import once_database_is_back
from swarm.engine.plan_report import PlanReport
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


def console(out: OutputWrapper) -> Console:
    """A rich console that writes to a command's output. The log falls silent but for warnings: it tells the same."""
    logging.getLogger("swarm").setLevel(logging.WARNING)
    out.ending = ""  # rich ends its lines itself
    return Console(file=cast(IO[str], out), width=None if out.isatty() else 100)


def watch(execution_id: uuid.UUID, console: Console) -> ExecutionReport:
    """Show an execution until it ends, or rests because it is paused, and return how that was."""
    if not console.is_terminal:
        return _follow(execution_id, console)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            report = once_database_is_back(lambda: execution_report(Execution.objects.get(pk=execution_id)))
            live.update(table(report), refresh=True)
            if _rests(report):
                return report
            time.sleep(REFRESH_S)


def table(report: ExecutionReport) -> Table:
    """The nodes of an execution, a row each; times in seconds, waits for locks and for the limiter's budget apart."""
    shown = Table(title=f"Execution {report['id']}: {report['status']}", title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("Story", ratio=1)
    shown.add_column("State", no_wrap=True)
    for heading in ("Time", "Work", "Lock", "Budget"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("Calls", justify="right")
    for node in report["nodes"]:
        about = [f"{node['story']['id']} {node['story']['title']}", _activity(node)]
        shown.add_row(
            Text("\n".join(printable(line) for line in about if line)),
            Text(f"{MARKS[node['status']]} {node['status']}", style=COLOURS[node["status"]]),
            *(_seconds(node[key]) for key in ("duration", "work_time", "lock_wait", "budget_wait")),
            str(node["usage"]["calls"]),
        )
    return shown


def show_plan(report: PlanReport, console: Console) -> None:
    """Print when each story of a run would start, and which files several of them will likely touch."""
    shown = Table(title=f"{len(report['stories'])} stories, {report['developers']} developers", box=box.SIMPLE_HEAD)
    for heading in ("Story", "Starts", "Will likely touch"):
        shown.add_column(heading)
    for start in report["stories"]:
        when = start["why"] or "At once."
        if start["suggested_dependencies"]:
            when += f" Its file names {', '.join(start['suggested_dependencies'])} as coming first."
        story = f"{start['story']['id']} {start['story']['title']}"
        cells = [story, when, "\n".join(file["path"] for file in start["files"])]
        shown.add_row(*(Text("\n".join(printable(line) for line in cell.split("\n"))) for cell in cells))
    console.print(shown)
    for shared in report["likely_conflicts"]:
        console.print(Text(printable(f"{shared['path']}: {', '.join(shared['stories'])} will likely touch it.")))


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
        report, events = once_database_is_back(partial(_news, execution_id, seq))
        for event in events:
            seq = event.seq or seq
            if event.type not in {"swarm:node-progress", "file:locked", "file:unlocked", "swarm:progress"}:
                console.print(Text(_line(event)), soft_wrap=True)
        if _rests(report):
            return report
        time.sleep(REFRESH_S)


def _news(execution_id: uuid.UUID, seq: int) -> tuple[ExecutionReport, list[Event]]:
    """How an execution is now, and its events behind number `seq` as far as that knows of them."""
    report = execution_report(Execution.objects.get(pk=execution_id))
    events = Event.objects.after(execution_id, seq).filter(seq__lte=report["last_seq"]).select_related("node")
    return report, list(events)


def _rests(report: ExecutionReport) -> bool:
    """Whether nothing happens any more of itself."""
    is_idle = all(node["status"] != "running" for node in report["nodes"])
    return report["status"] not in Execution.ACTIVE or (report["paused"] is not None and is_idle)


def _line(event: Event) -> str:
    data = event.data
    who = f"{event.node.name} (story {event.node.story_id})" if event.node else ""
    more = [f"{key} {data[key]}" for key in ("path", "held_by", "outcome", "pause", "by", "reason") if data.get(key)]
    if "error" in data:
        more.append(f"{data['error']['code']}: {data['error']['message']}")
    return printable(" ".join(filter(None, [f"{event.at:%H:%M:%S}", event.type, who, *more])))[:500]


def _activity(node: NodeReport) -> str:
    if node["error"]:
        return f"{node['error']['code']}: {node['error']['message']}"
    return f"{node['activity']} {node['detail']}" if node["status"] == "running" else node["detail"]


def _seconds(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else ""
