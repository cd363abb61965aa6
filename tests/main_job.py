"""The main job on real parts, for tests: a git workspace, a model server on loopback, and the engine's own threads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pygit2

from swarm.engine import lifecycle
from swarm.engine.executor import executor
from swarm.engine.report import ExecutionReport, NodeReport, execution_report
from swarm.models import Execution
from swarm.simulator.developer import Reply, TooManyRequests, reply_to
from tests.chat.server import Exchange, ModelServer, completion
from tests.workspace.repositories import commit_all

Behaviour = Callable[[Exchange], None]


def story_of(request: dict[str, Any]) -> str:
    """The id of the story that a chat request is about."""
    text = request["messages"][1]["content"]
    return str(text.split("# Story ", 1)[1].split(":", 1)[0])


def play(exchange: Exchange) -> None:
    """Answer as the simulated developer does."""
    retry_count = int(exchange.request.headers.get("X-Stainless-Retry-Count", "0"))
    reply = reply_to(exchange.request.body, retry_count)
    if isinstance(reply, TooManyRequests):
        exchange.send(429, {"error": {"message": "too fast"}}, {"Retry-After": str(reply.retry_after_s)})
    else:
        assert isinstance(reply, Reply)
        call_tools(exchange, *((call.name, call.arguments) for call in reply.tool_calls), text=reply.text)


def call_tools(exchange: Exchange, *calls: tuple[str, str], text: str = "") -> None:
    """Answer with calls of tools, each a name and JSON arguments."""
    tool_calls = [
        {"id": f"call-{uuid.uuid4()}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in calls
    ]
    exchange.send(200, completion(text, **({"tool_calls": tool_calls} if tool_calls else {})))


@dataclass
class MainJob:
    """Runs stories of `workspace`; `behaviours` replaces the simulated developer for single stories."""

    workspace: Path
    model: ModelServer
    behaviours: dict[str, Behaviour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model.always = lambda exchange: self.behaviours.get(story_of(exchange.request.body), play)(exchange)

    def start(self, *stories: str, **options: Any) -> Execution:
        return lifecycle.start(lifecycle.StartRequest(stories=stories, **options), user=None)

    def run(self, *stories: str, **options: Any) -> ExecutionReport:
        """Run stories to their end."""
        return self.finish(self.start(*stories, **options))

    def finish(self, execution: Execution) -> ExecutionReport:
        """Wait for the end of what was started."""
        executor.drain()
        return report_of(execution)

    def commits(self, execution: ExecutionReport) -> list[pygit2.Commit]:
        """What the execution put on its branch, oldest first."""
        git = pygit2.Repository(str(self.workspace))
        walker = git.walk(execution["head_commit"], pygit2.enums.SortMode.REVERSE | pygit2.enums.SortMode.TOPOLOGICAL)
        walker.hide(execution["base_commit"])
        return list(walker)

    def commit_status(self, story: str, status: str) -> None:
        """Write and commit another status into a story's file, as its author does."""
        name = f"{story.replace('.', '-')}-*.md"
        path = next((self.workspace / "_bmad-output" / "implementation-artifacts").glob(name))
        path.write_text(re.sub("^Status: .*$", f"Status: {status}", path.read_text(), count=1, flags=re.MULTILINE))
        commit_all(pygit2.Repository(str(self.workspace)), f"{story} is {status}")

    def file(self, execution: ExecutionReport, path: str) -> str:
        """A file's text at the end of the execution's branch."""
        git = pygit2.Repository(str(self.workspace))
        return str(git[(git[execution["head_commit"]].tree / path).id].data.decode())


def report_of(execution: Execution) -> ExecutionReport:
    return execution_report(Execution.objects.get(pk=execution.pk))


def node_of(execution: ExecutionReport, story: str) -> NodeReport:
    return next(node for node in execution["nodes"] if node["story"]["id"] == story)
