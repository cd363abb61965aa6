"""The function tools of a developer node: a class each, its fields the arguments, its docstring what the model is told.

An answer that starts with "Error:" names a code and says what to do; it never ends the node. Errors that the model
cannot mend (a deadlock, a cancel, the deadline) are raised through: all but `Refused` and `PathHeld`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarm.engine.evidence import check, demand_evidence
from swarm.engine.integration import finish_story
from swarm.engine.work import FileChanged, Work
from swarm.locks.errors import PathHeld
from swarm.models import Activity
from swarm.workspace.errors import Refused

FilePath = Annotated[str, Field(description="path relative to the workspace, with / between folders")]
Glob = Annotated[str, Field(description="only paths that match, such as src/**/*.py; empty for all")]


class Tool(BaseModel):
    """A call of a tool with valid arguments."""

    model_config = ConfigDict(extra="forbid")
    activity: ClassVar[Activity] = Activity.USING_TOOL

    def run(self, work: Work) -> str:
        """Do it and return the answer for the model."""
        raise NotImplementedError


class ListFiles(Tool):
    """List the workspace's files."""

    glob: Glob = ""

    def run(self, work: Work) -> str:
        return "\n".join(work.snapshot.list_files(self.glob or None)) or "No file matches."


class ReadFile(Tool):
    """Read a text file, or some of its lines."""

    path: FilePath
    start_line: int = Field(default=1, ge=1, description="first line, from 1")
    end_line: int = Field(default=0, ge=0, description="last line, included; 0 for the end")

    def run(self, work: Work) -> str:
        return work.snapshot.read(self.path, self.start_line, self.end_line or None)


class Search(Tool):
    """Find the lines that match a regular expression."""

    pattern: str = Field(min_length=1, max_length=1000, description="regular expression")
    glob: Glob = ""

    def run(self, work: Work) -> str:
        return "\n".join(work.snapshot.search(self.pattern, self.glob or None)) or "No line matches."


class WriteFile(Tool):
    """Create a file or replace its whole content. Claims the path."""

    path: FilePath
    content: str = Field(description="the file's whole new content")

    def run(self, work: Work) -> str:
        path = _claim_unchanged(work, self.path)
        work.snapshot.write(path, self.content)
        return _written(work, path)


class EditFile(Tool):
    """Replace one passage of a file. Claims the path."""

    path: FilePath
    old_text: str = Field(min_length=1, description="the passage, exactly as in the file; it must occur once")
    new_text: str = Field(description="what stands there afterwards")

    def run(self, work: Work) -> str:
        claimed = work.claim(self.path)
        try:
            work.snapshot.edit(claimed.path, self.old_text, self.new_text)
        except Refused as error:
            if not claimed.news:
                raise
            raise FileChanged(f"{claimed.news}\nYour edit does not fit any more: {error.message}") from error
        return "\n".join(filter(None, [_written(work, claimed.path), claimed.news]))


class DeleteFile(Tool):
    """Delete a file. Claims the path."""

    path: FilePath

    def run(self, work: Work) -> str:
        path = _claim_unchanged(work, self.path)
        work.snapshot.delete(path)
        return _written(work, path)


class RunChecks(Tool):
    """Run the project's checks on your work and show their output."""

    activity = Activity.CHECKING

    def run(self, work: Work) -> str:
        result = check(work)
        if result is None:
            return "No check command is set, so there is nothing to run."
        return f"The checks {'passed' if result.has_passed else 'failed'}.\n{result.output}"


class CompleteTask(Tool):
    """Tick a task of the story, once something was changed for it or the checks have passed."""

    number: int = Field(ge=1, description="the task's number, from the top of the story, from 1")

    def run(self, work: Work) -> str:
        if self.number > work.story.tasks_total:
            return f"Error: no_such_task. The story has {work.story.tasks_total} tasks."
        if not work.is_ticked(self.number):
            demand_evidence(work)
        work.ticked.add(self.number)
        work.node.record_tasks(work.count_done())
        return f"Task {self.number} is ticked; {work.count_done()} of {work.story.tasks_total} are done."


class Finish(Tool):
    """End the story, after the last task: runs the checks and commits."""

    activity = Activity.INTEGRATING

    summary: str = Field(min_length=1, description="what was done, in one to three sentences")

    def run(self, work: Work) -> str:
        commit = finish_story(work, self.summary)
        return f"The story is committed as {commit[:12]}."


def _name(tool: type[Tool]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", tool.__name__).lower()


TOOLS: dict[str, type[Tool]] = {
    _name(tool): tool
    for tool in (ListFiles, ReadFile, Search, WriteFile, EditFile, DeleteFile, RunChecks, CompleteTask, Finish)
}


def tool_schemas() -> list[dict[str, Any]]:
    """All tools in the form of OpenAI's `tools` parameter."""
    return [
        {"type": "function", "function": {"name": name, "description": tool.__doc__, "parameters": _parameters(tool)}}
        for name, tool in TOOLS.items()
    ]


def call_tool(work: Work, name: str, arguments: dict[str, Any]) -> str:
    """Run one call and return the answer for the model. Raises only what ends the attempt."""
    tool = TOOLS.get(name)
    if tool is None:
        return f"Error: unknown_tool. There is no tool {name!r}; there are {', '.join(TOOLS)}."
    try:
        call = tool.model_validate(arguments)
    except ValidationError as error:
        return f"Error: bad_arguments. {_describe(error)}"
    work.timesheet.enter(tool.activity, f"{name} {arguments.get('path', '')}".strip())
    try:
        return call.run(work)
    except PathHeld as error:
        work.awaited.add(error.path)
        return f"Error: {error.code}. {error.message} Go on with something else; you are told when it is free."
    except Refused as error:
        return f"Error: {error.code}. {error.message}"


def _parameters(tool: type[Tool]) -> dict[str, Any]:
    schema = tool.model_json_schema()
    properties = (
        {name: {k: v for k, v in it.items() if k != "title"} for name, it in schema["properties"].items()}
        if "properties" in schema
        else {}
    )
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _describe(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, it['loc'])) or 'arguments'}: {it['msg']}" for it in error.errors()) + "."


def _claim_unchanged(work: Work, path: str) -> str:
    """Claim a path that is about to be overwritten whole; what others wrote there must be read first."""
    claimed = work.claim(path)
    if claimed.news:
        raise FileChanged(f"{claimed.news}\nNothing was written. You hold the path now: take this in and write again.")
    return claimed.path


def _written(work: Work, path: str) -> str:
    files = sorted(work.snapshot.changes)
    work.node.record_files(files)
    return f"{path} is changed in your snapshot."
