"""Cuts lists into pages that stay right while rows come and go: a page begins behind the last row of the one before.

A cursor is opaque and signed: it holds that last row's place in one particular order, and only this server makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from ninja import Schema
from ninja.errors import ValidationError
from pydantic import Field

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)


class PageQuery(Schema):
    """What every list takes."""

    limit: int = Field(50, ge=1, le=500, description="The most items that the answer may hold.")
    cursor: str | None = Field(None, description="`next` of the page before.")


class Page(Schema, Generic[Item]):
    """What every list answers; `next` is the cursor of the page behind it, or null."""

    items: list[Item]
    next: str | None


def page_of_rows(
    rows: QuerySet[Row], query: PageQuery, *, by: Sequence[str], newest_first: bool = False
) -> dict[str, Any]:
    """The page of `rows` in the order of the fields `by`, which together must be unique.

    Raises ninja's `ValidationError` for a cursor that this list did not give out.
    """
    order = f"{rows.model._meta.label}:{','.join(by)}"
    if query.cursor is not None:
        rows = rows.filter(_behind(by, _read(query.cursor, order), "lt" if newest_first else "gt"))
    ordered = rows.order_by(*(f"-{name}" if newest_first else name for name in by))
    return _cut(list(ordered[: query.limit + 1]), query, lambda row: _place(row, by), order)


def page_of_list(
    items: Sequence[Item],
    query: PageQuery,
    *,
    order: str,
    place: Callable[[Item], list[str]],
    key: Callable[[list[str]], Any],
) -> dict[str, Any]:
    """The page of `items`, which are in the order of the `key` of each one's unique `place`; `order` names that order.

    Raises ninja's `ValidationError` for a cursor that this list did not give out.
    """
    if query.cursor is not None:
        after = key(_read(query.cursor, order))
        items = [item for item in items if key(place(item)) > after]
    return _cut(items, query, place, order)


def _cut(rows: Sequence[Item], query: PageQuery, place: Callable[[Item], list[str]], order: str) -> dict[str, Any]:
    items = rows[: query.limit]
    more = len(rows) > len(items)
    return {"items": items, "next": signing.dumps(place(items[-1]), salt=order) if more else None}


def _read(cursor: str, order: str) -> list[str]:
    try:
        place: list[str] = signing.loads(cursor, salt=order)
    except signing.BadSignature:
        message = "This list did not give out that cursor; start again without one."
        raise ValidationError([{"loc": ("query", "cursor"), "msg": message, "type": "cursor"}]) from None
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
