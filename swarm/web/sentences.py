"""Says in words what an event tells. Pure; an event of a kind unknown here is named as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SENTENCES = {
    "swarm:started": "Started.",
    "swarm:node-started": "Took up story {story}.",
    "swarm:node-completed": "Completed story {story}.",
    "swarm:node-failed": "Failed story {story}: {message}",
    "swarm:node-retrying": "Attempt {attempt} of story {story} failed and is tried again: {message}",
    "swarm:node-cancelled": "Was stopped at story {story}{whose}.",
    "swarm:node-paused": "Rests at story {story}.",
    "swarm:paused": "Paused{whose}.",
    "swarm:resumed": "Resumed{whose}.",
    "swarm:node-approved": "{by} approved story {story}.",
    "swarm:node-rejected": "{by} rejected story {story}: {comment}",
    "swarm:node-reverted": "{by} reverted story {story}.",
    "swarm:merged": "{by} merged the branch into {into}.",
    "swarm:pruned": "Events before {before} were removed, {days} days after they happened.",
    "swarm:progress": "{completed} of {total} done, {failed} failed.",
    "swarm:rate-limited": "The model's endpoint asked to slow down.",
    "swarm:completed": "The execution ended: {status}.",
    "swarm:cancelled": "The execution was cancelled.",
    "file:locked": "Holds {path} now.",
    "file:unlocked": "Gave up {path}.",
    "lock broken": "Lost {path}: {broken_by} broke the lock ({reason}).",
}
_CONFLICTS = {
    "waiting": "Waits for {path}, held by {held_by}.",
    "granted": "Got {path} after waiting.",
    "holder_expired": "Got {path}: the lease of its holder, {held_by}, had run out.",
    "notified": "Was told that {path} is held by {held_by}.",
    "timed_out": "Waited too long for {path}.",
    "deadlock": "Gave way: waiting for {path} had closed a circle.",
    "cancelled": "Stopped waiting for {path}.",
}


class _Known(dict[str, Any]):
    """Fills what an event does not tell with an ellipsis."""

    def __missing__(self, name: str) -> str:
        return "…"


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """One sentence about an event of type `kind` with its `data`."""
    if kind == "swarm:node-progress":
        activity = str(data.get("activity", "")).replace("_", " ").capitalize()
        return f"{activity}: {data['detail']}" if data.get("detail") else f"{activity}."
    if kind == "file:unlocked" and data.get("broken_by"):
        kind = "lock broken"
    template = _CONFLICTS.get(data.get("outcome", "")) if kind == "swarm:conflict" else _SENTENCES.get(kind)
    values = _Known(data, message=(data.get("error") or {}).get("message", "…"), whose=_whose(data))
    return (template or kind).format_map(values)


def _whose(data: Mapping[str, Any]) -> str:
    """By whom and why, as far as that was said."""
    by = f" by {data['by']}" if data.get("by") else ""
    return f"{by}: {str(data['reason']).rstrip('.')}" if data.get("reason") else by
