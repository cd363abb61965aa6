"""The lists of the API in pages: what they take and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from ninja import Schema
from ninja.errors import ValidationError
from pydantic import Field

from swarm.models.paging import UnknownCursor, cut, cut_rows, read_cursor

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
    with _checked():
        items, following = cut_rows(rows, limit=query.limit, cursor=query.cursor, by=by, newest_first=newest_first)
    return {"items": items, "next": following}


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
        with _checked():
            after = key(read_cursor(query.cursor, order))
        items = [item for item in items if key(place(item)) > after]
    shown, following = cut(items, query.limit, place, order)
    return {"items": shown, "next": following}


@contextmanager
def _checked() -> Iterator[None]:
    """Tell of a cursor that is not one as of any other field that cannot be used."""
    try:
        yield
    except UnknownCursor as error:
        raise ValidationError([{"loc": ("query", "cursor"), "msg": error.message, "type": "cursor"}]) from None
