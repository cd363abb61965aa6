"""What becomes of a node that is stopped while it ends by itself."""

from __future__ import annotations

from functools import partial

import pytest

from swarm.engine.closing import complete_node
from swarm.engine.landing import Landing
from swarm.engine.lifecycle import cancel_node
from swarm.engine.stopping import refuse_cancelled
from swarm.errors import Cancelled
from swarm.events.record import recording
from swarm.models import Node, WrongStatus
from tests.factories import make_nodes, run_threads


@pytest.mark.django_db(transaction=True)
def test_completing_and_being_cancelled_at_once_has_one_outcome() -> None:
    """Whoever is first decides, and the other is told."""

    def complete(node: Node) -> bool:
        try:
            with recording(node.execution_id) as record:
                refuse_cancelled(record, node)
                complete_node(record, node, Landing("c" * 40, files=[], summary="", head="c" * 40))
        except Cancelled:
            return False
        return True

    def stop(node: Node) -> bool:
        try:
            cancel_node(node.pk)
        except WrongStatus:
            return False
        return True

    for node in make_nodes(20):
        mine = Node.objects.get(pk=node.pk)
        completed, cancelled = run_threads([partial(complete, node), partial(stop, mine)])
        node.refresh_from_db()
        assert completed is not cancelled
        assert node.status == (Node.Status.COMPLETED if completed else Node.Status.RUNNING)
        assert (node.cancel_requested_at is not None) is cancelled
