"""What reviewers wrote about a node's earlier commits, as its next attempt is told."""

from __future__ import annotations

from swarm.models import Event, Node

_TOLD = {
    "swarm:node-rejected": (
        "A reviewer rejected what was committed for this story. It stands in the files as you see them; change what "
        "they ask for and keep the rest: {comment}"
    ),
    "swarm:node-reverted": "A reviewer took back what was committed for this story: {comment}",
}


def comments_on(node: Node) -> list[str]:
    """The comments of all reviews so far that asked for something else, in their order."""
    events = Event.objects.filter(node=node, type__in=_TOLD).order_by("seq")
    return [_TOLD[event.type].format(comment=event.data["comment"]) for event in events if event.data["comment"]]
