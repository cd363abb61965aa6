"""Queries that must not read whole tables find their index."""

from __future__ import annotations

import pytest
from django.db import connection

from swarm.models import Node

pytestmark = pytest.mark.django_db


def test_the_history_of_a_story_is_found_by_its_index() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # a table without rows is read as a whole otherwise
    assert "swarm_node_story" in Node.objects.filter(story_id="1.1").order_by().explain()
