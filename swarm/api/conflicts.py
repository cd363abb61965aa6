"""The conflict log: claims that were not granted at once, the files they were about, and who had what when."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now
from ninja import Query, Router

from swarm.api.lock_schemas import ConflictEntry, ConflictMap, ConflictQuery, HotFile
from swarm.api.paging import Page, PageQuery, page_of_rows
from swarm.locks.history import execution_history
from swarm.locks.log import ConflictFilter, hot_files
from swarm.models import Execution

router = Router(tags=["files"])


class ConflictPageQuery(PageQuery, ConflictQuery):
    """Which conflicts, and which page of them."""


@router.get("", response=Page[ConflictEntry])
def conflicts(request: HttpRequest, query: Query[ConflictPageQuery]) -> Any:
    """Who wanted which file, who held it, how long it took and how it ended; newest first."""
    rows = _chosen(query).rows(now()).select_related("node")
    return page_of_rows(rows, query, by=("id",), newest_first=True)


@router.get("/files", response=dict[str, list[HotFile]])
def files(request: HttpRequest, query: Query[ConflictQuery]) -> Any:
    """The files with most of these conflicts, at most ten, the hottest first, and who holds each of them now."""
    at = now()
    return {"items": hot_files(_chosen(query).rows(at), at)}


@router.get("/map/{uuid:execution_id}", response=ConflictMap)
def conflict_map(request: HttpRequest, execution_id: uuid.UUID) -> Any:
    """Who held and who waited for each contested file of an execution, and when; the longest waits first."""
    at = now()
    execution = Execution.objects.get(pk=execution_id)
    return execution_history(execution, ConflictFilter(execution=execution_id).rows(at), at)


def _chosen(query: ConflictQuery) -> ConflictFilter:
    names = ("execution", "node", "story", "path", "outcome", "policy")
    return ConflictFilter(**{name: getattr(query, name) for name in names}, longer_than_s=query.longer_than)
