"""The verbs of `manage.py swarm` for what comes after the work: approve, reject, revert, prune."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.timezone import now

from swarm.engine import review
from swarm.engine.housekeeping import prune
from swarm.engine.report import node_report
from swarm.management.terminal import printable, to_json
from swarm.models import Node


class ReviewVerbs(BaseCommand):
    """A command with these verbs."""

    def add_review_verbs(self, add: Callable[[str, str], CommandParser]) -> None:
        approve = add("approve", "say that a story's commit is fine")
        reject = add("reject", "have a story worked on again, and see that through")
        revert = add("revert", "take a story's commits back")
        for parser in (approve, reject, revert):
            parser.add_argument("node", type=uuid.UUID, metavar="NODE")
        reject.add_argument("--comment", required=True, help="what is wrong; the next attempt is told")
        revert.add_argument("--comment", default="", help="why; a later retry is told")
        add("prune", "remove what executions that ended more than SWARM_RETENTION_DAYS ago left behind")

    def _approve(self, options: dict[str, Any]) -> None:
        self._show_review(review.approve(options["node"], user=None), options)

    def _reject(self, options: dict[str, Any]) -> None:
        node = review.reject(options["node"], comment=options["comment"], user=None)
        self._see_through(node.execution_id, options)

    def _revert(self, options: dict[str, Any]) -> None:
        self._show_review(review.revert(options["node"], comment=options["comment"], user=None), options)

    def _prune(self, options: dict[str, Any]) -> None:
        count = prune(now())
        self.stdout.write(to_json({"executions": count}) if options["json"] else f"Pruned executions: {count}.")

    def _show_review(self, node: Node, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(to_json(node_report(node)))
        else:
            self.stdout.write(printable(f"Story {node.story_id} is {node.review}."))

    def _see_through(self, execution_id: uuid.UUID, options: dict[str, Any]) -> None:
        """Watch an execution that runs in this process to its end."""
        raise NotImplementedError
