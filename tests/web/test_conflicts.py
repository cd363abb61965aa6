"""The page of the conflict log: its list, its filters, the hottest files, and the map of files and time."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from swarm.events.record import recording
from swarm.models import Conflict, FileLock, Node
from swarm.web import conflicts as page_module
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def text_of(client: Client, query: str = "", **headers: str) -> str:
    response = client.get(f"/conflicts/{query}", headers=headers or None)
    assert response.status_code == 200
    return response.content.decode()


def make_conflict(node: Node, path: str, **values: Any) -> Conflict:
    lock, _ = FileLock.objects.get_or_create(key=path, defaults={"path": path})
    values = {"lock": lock, "path": path, "execution": node.execution, "held_by": "ada", "policy": "wait"} | values
    return Conflict.objects.create(node=node, **values)


def row_of(conflict: Conflict) -> str:
    return f'id="conflict-{conflict.pk}"'


def test_it_says_so_when_there_is_nothing_yet(page: Client) -> None:
    html = text_of(page)
    assert "No conflicts so far" in html
    assert "Clear filters" not in html


def test_it_tells_who_wanted_what_how_long_and_how_it_ended(page: Client) -> None:
    at = now()
    node = make_node(make_execution())
    make_conflict(node, "a.py", asked_at=at - timedelta(seconds=9), ended_at=at, outcome="timed_out")
    make_conflict(node, "<b>.py", policy="notify", outcome="notified", ended_at=at)
    html = text_of(page)
    for words in ("developer-1 on story 1.1", "ada", "Timed out", "9.0 s", "Notify", "&lt;b&gt;.py"):
        assert words in html
    log = html.split('id="log-title"')[1]
    assert log.index("Notified") < log.index("Timed out")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?path=src", [0]),
        ("?story=2.7", [1]),
        ("?outcome=granted", [0]),
        ("?policy=notify", [1]),
        ("?longer_than=3", [0]),
        ("?longer_than=3&story=2.7", []),
        ("?execution=&path=&story=&outcome=&policy=&longer_than=", [0, 1]),
    ],
)
def test_filters_in_the_address_choose(page: Client, query: str, shown: list[int]) -> None:
    at = now()
    execution = make_execution()
    conflicts = [
        make_conflict(
            make_node(execution), "src/a.py", asked_at=at - timedelta(seconds=5), ended_at=at, outcome="granted"
        ),
        make_conflict(
            make_node(execution, story_id="2.7"), "b.py", policy="notify", asked_at=at, ended_at=at, outcome="notified"
        ),
    ]
    html = text_of(page, query)
    assert [number for number, it in enumerate(conflicts) if row_of(it) in html] == shown
    assert ("No conflict matches" in html) == (not shown)


def test_an_execution_and_a_developer_can_be_chosen_and_left_again(page: Client) -> None:
    node, other = make_node(make_execution()), make_node(make_execution())
    own, others = make_conflict(node, "a.py"), make_conflict(other, "b.py")
    html = text_of(page, f"?execution={node.execution_id}")
    assert (row_of(own) in html, row_of(others) in html) == (True, False)
    assert f'value="{node.execution_id}" selected' in html
    html = text_of(page, f"?node={other.pk}&policy=wait")
    assert (row_of(own) in html, row_of(others) in html) == (False, True)
    assert 'href="?policy=wait">Show all developers' in html


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?execution=x", "There is no such execution."),
        ("?node=x", "There is no such developer."),
        ("?outcome=bogus", "A wait cannot end as “bogus”."),
        ("?policy=fight", "There is no conflict policy “fight”."),
        ("?longer_than=soon", "Enter a number."),
        ("?longer_than=-1", "greater than or equal to 0"),
        ("?path=%00", "Null characters are not allowed."),
    ],
)
def test_a_filter_that_cannot_be_used_is_said_and_shows_nothing(page: Client, query: str, sentence: str) -> None:
    conflict = make_conflict(make_node(make_execution()), "a.py")
    html = text_of(page, query)
    assert sentence in html
    assert "a filter cannot be used" in html
    assert "Clear filters" in html
    assert row_of(conflict) not in html


def test_an_execution_that_is_not_there_matches_nothing(page: Client) -> None:
    make_conflict(make_node(make_execution()), "a.py")
    assert "No conflict matches" in text_of(page, f"?execution={uuid.uuid4()}")


def test_pages_keep_the_filters(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PAGE_SIZE", 2)
    node = make_node(make_execution())
    rows = [make_conflict(node, f"{number}.py") for number in range(3)]
    make_conflict(node, "left-out.txt")
    first = text_of(page, "?path=.py")
    assert [row_of(row) in first for row in rows] == [False, True, True]
    older = first.split('">Older')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
    second = text_of(page, older)
    assert [row_of(row) in second for row in rows] == [True, False, False]
    assert 'href="?path=.py">Newest' in second
    assert "Older" not in second
    assert "left-out" not in second


def test_a_cursor_that_is_none_is_said_with_a_way_back(page: Client) -> None:
    make_conflict(make_node(make_execution()), "a.py")
    html = text_of(page, "?path=a&cursor=x")
    assert "did not give out that cursor" in html
    assert 'href="?path=a">Go to the newest' in html


def test_the_hottest_files_come_with_who_holds_them_now(page: Client) -> None:
    at = now()
    node = make_node(make_execution())
    for _ in range(2):
        make_conflict(node, "a.py", asked_at=at - timedelta(seconds=4), ended_at=at, outcome="granted")
    FileLock.objects.update(node=node, locked_at=at, expires_at=at + timedelta(hours=1))
    hot = text_of(page).split('id="hot-title"')[1].split("</section>")[0]
    for words in ("?path=a.py", ">2</td>", "8.0 s", "4.0 s", "developer-1 on story 1.1"):
        assert words in hot


def test_the_map_shows_holds_and_waits_of_the_newest_execution_and_the_same_as_a_table(page: Client) -> None:
    make_conflict(make_node(make_execution()), "old.py")
    execution = make_execution(started_at=now() - timedelta(seconds=10))
    holder, waiter = make_node(execution), make_node(execution)
    with recording(execution.pk) as record:
        record("file:locked", holder, path="a.py")
    make_conflict(waiter, "a.py", held_by=str(holder))
    html = text_of(page)
    drawing = html.split('class="lock-map"')[1].split("map-legend")[0]
    assert "<title>developer-1 on story 1.1 held a.py for" in drawing
    assert "<title>developer-2 on story 1.2 wanted a.py, held by developer-1 on story 1.1: Waiting after" in drawing
    assert 'aria-label="a.py: 1 time held, 1 wait; the table has the details"' in drawing
    assert 'class="hatch"' in drawing
    assert "old.py" not in drawing
    assert "wanted it: waiting" not in html
    table = text_of(page, "?table=1")
    assert "held it" in table
    assert "wanted it: waiting" in table


def test_a_live_refresh_gets_what_is_below_the_filters(page: Client) -> None:
    conflict = make_conflict(make_node(make_execution()), "a.py")
    html = text_of(page, "?path=a", **{"HX-Request": "true"})
    assert row_of(conflict) in html
    assert "<html" not in html
    assert "<form" not in html


def test_pages_of_files_hold_no_inline_script_or_style(page: Client) -> None:
    make_conflict(make_node(make_execution()), "a.py")
    for url in ("/conflicts/?table=1", "/locks/"):
        html = page.get(url).content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert html.count("<script") == html.count("<script src=") + html.count('<script type="module" src=')


@pytest.mark.parametrize("rows", [1, 3])
def test_it_takes_the_same_queries_for_any_number_of_rows(
    page: Client, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    execution = make_execution()
    for number in range(rows):
        node = make_node(execution)
        make_conflict(node, f"{number}.py")
        with recording(execution.pk) as record:
            record("file:locked", node, path=f"{number}.py")
    make_conflict(make_node(make_execution(created_at=now() - timedelta(hours=1))), "other.py")
    # session, user, recent executions, list, hot files, their locks, the map's conflicts, events and nodes
    with django_assert_num_queries(9):
        page.get(f"/conflicts/?execution={execution.pk}&table=1")


def test_an_execution_and_a_developer_lead_to_their_conflicts(page: Client) -> None:
    node = make_node(make_execution())
    execution_page, node_page = (
        page.get(url).content.decode() for url in (f"/executions/{node.execution_id}/", f"/nodes/{node.pk}/")
    )
    assert f'href="/conflicts/?execution={node.execution_id}"' in execution_page
    assert f'href="/conflicts/?node={node.pk}"' in node_page
