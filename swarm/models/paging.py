"""Cuts lists into pages that stay right while rows come and go: a page begins behind the last row of the one before.

A cursor is opaque and signed: it holds that last row's place in one particular order, and only this server makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet

from swarm.errors import SwarmError

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)


class UnknownCursor(SwarmError):
    """A list was asked for the page behind a cursor that it did not give out."""

    code = "unknown_cursor"


def cut_rows(
    rows: QuerySet[Row], *, limit: int, cursor: str | None, by: Sequence[str], newest_first: bool = False
) -> tuple[list[Row], str | None]:
    """A page of `rows` in the order of the fields `by`, which together must be unique, and the next page's cursor.

    Raises `UnknownCursor`.
    """
    order = f"{rows.model._meta.label}:{','.join(by)}"
    if cursor is not None:
        rows = rows.filter(_behind(by, read_cursor(cursor, order), "lt" if newest_first else "gt"))
    ordered = rows.order_by(*(f"-{name}" if newest_first else name for name in by))
    return cut(list(ordered[: limit + 1]), limit, lambda row: _place(row, by), order)


def cut(
    items: Sequence[Item], limit: int, place: Callable[[Item], list[str]], order: str
) -> tuple[list[Item], str | None]:
    """The first `limit` items, and the cursor of the page behind them if there is one."""
    page = list(items[:limit])
    more = len(items) > len(page)
    return page, signing.dumps(place(page[-1]), salt=order) if more else None


def read_cursor(cursor: str, order: str) -> list[str]:
    """The place that a cursor of this order holds. Raises `UnknownCursor`."""
    try:
        place: list[str] = signing.loads(cursor, salt=order)
    except signing.BadSignature:
        raise UnknownCursor("This list did not give out that cursor; start again without one.") from None
    return place


def _place(row: Model, by: Sequence[str]) -> list[str]:
    fields = {field.name: field for field in row._meta.concrete_fields}
    return [fields[name].value_to_string(row) for name in by]


def _behind(by: Sequence[str], place: Sequence[str], lookup: str) -> Q:
    """Rows behind `place`: behind in the first field, or equal there and behind in the next, and so on."""
    condition = Q()
    for depth, name in enumerate(by):
        equal = dict(zip(by[:depth], place, strict=False))
        condition |= Q(**equal, **{f"{name}__{lookup}": place[depth]})
    return condition
