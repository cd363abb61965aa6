"""The pages: what they show, to whom, and with how many queries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from swarm.events.record import recording
from swarm.models import CheckRun, Execution, Period, Turn
from tests.factories import NOBODYS_ID, make_execution, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def text_of(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, headers=headers or None)
    assert response.status_code == 200
    return response.content.decode()


def make_finished(stories: int, status: str = "completed") -> Execution:
    """An execution whose nodes each worked ten seconds, all at once."""
    end = now()
    execution = make_execution(status=status, started_at=end - timedelta(seconds=11), finished_at=end)
    for _ in range(stories):
        node = make_node(
            execution,
            status="completed",
            started_at=end - timedelta(seconds=11),
            finished_at=end,
            prompt_tokens=1000,
            completion_tokens=200,
        )
        Period.objects.create(node=node, attempt=1, activity="thinking", started_at=node.started_at, seconds=10)
    return execution


@pytest.mark.parametrize(
    "path",
    [
        "executions/",
        "executions/new/",
        "stories/",
        "locks/",
        "conflicts/",
        "locks/1/break/",
        f"executions/{NOBODYS_ID}/",
    ],
)
def test_who_is_not_signed_in_is_led_to_the_sign_in_page_and_back(client: Client, path: str) -> None:
    response = client.get(f"/{path}")
    assert (response.status_code, response["Location"]) == (302, f"/sign-in/?next=/{path}")


def test_a_live_page_that_is_signed_out_meanwhile_reloads_as_a_whole(client: Client) -> None:
    response = client.get("/executions/", headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Refresh"], response.content) == (200, "true", b"")


def test_the_start_page_leads_to_the_executions(page: Client) -> None:
    assert page.get("/")["Location"] == "/executions/"


@pytest.mark.parametrize("path", [f"executions/{NOBODYS_ID}/", f"nodes/{NOBODYS_ID}/", "nowhere/"])
def test_what_is_not_there_gets_the_404_page(page: Client, path: str) -> None:
    response = page.get(f"/{path}")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_an_error_of_the_server_has_a_page_that_needs_nothing_of_it() -> None:
    assert "Something broke on the server" in render_to_string("500.html")


def test_the_demo_says_on_every_page_that_no_real_model_is_called(page: Client, settings: Settings) -> None:
    notice = "Demo: a simulated model answers. No real model is called."
    assert notice not in text_of(page, "/executions/")
    settings.SWARM_DEMO_DIRECTORY = "/tmp/demo"
    for path in ("/executions/", "/locks/", "/stories/", "/executions/new/"):
        assert notice in text_of(page, path)


def test_pages_hold_no_inline_script_or_style(page: Client) -> None:
    execution = make_finished(2)
    for path in ("/executions/", f"/executions/{execution.pk}/", f"/nodes/{execution.nodes.all()[0].pk}/"):
        html = text_of(page, path)
        assert "<style" not in html
        assert " style=" not in html
        assert html.count("<script") == html.count("<script src=") + html.count('<script type="module" src=')


# The list


def test_an_empty_list_says_what_to_do_first(page: Client) -> None:
    html = text_of(page, "/executions/")
    assert "No executions yet" in html
    assert "Start the first execution" in html


def test_the_list_filters_by_status(page: Client) -> None:
    failed, completed = make_execution(status="failed"), make_execution(status="completed")
    html = text_of(page, "/executions/?status=failed")
    assert str(failed.pk) in html
    assert str(completed.pk) not in html


def test_a_filter_that_matches_nothing_offers_to_show_all(page: Client) -> None:
    make_execution(status="completed")
    html = text_of(page, "/executions/?status=failed")
    assert "No execution is failed" in html
    assert "Show all executions" in html


@pytest.mark.parametrize("query", ["status=bogus", "page=999", "page=x", "status=&page=-1"])
def test_an_odd_query_shows_the_list(page: Client, query: str) -> None:
    execution = make_execution()
    assert str(execution.pk) in text_of(page, f"/executions/?{query}")


def test_the_list_is_newest_first_and_turns_pages(page: Client) -> None:
    start = now()
    executions = [make_execution(created_at=start + timedelta(seconds=second)) for second in range(26)]
    first, second = text_of(page, "/executions/"), text_of(page, "/executions/?page=2")
    assert first.index(str(executions[25].pk)) < first.index(str(executions[1].pk))
    assert str(executions[0].pk) not in first
    assert str(executions[0].pk) in second


def test_the_list_shows_progress_verdict_and_tokens(page: Client) -> None:
    make_finished(3)
    html = text_of(page, "/executions/")
    assert "3 of 3 done" in html
    assert "1.10 ×" in html
    assert "3\N{NARROW NO-BREAK SPACE}600" in html


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_takes_the_same_queries_for_any_number_of_rows(
    page: Client, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(rows):
        make_finished(rows)
    with django_assert_num_queries(6):  # session, user, count, page, nodes, periods
        page.get("/executions/")


def test_a_live_refresh_gets_the_list_alone(page: Client) -> None:
    make_execution()
    html = text_of(page, "/executions/?status=pending", **{"HX-Request": "true"})
    assert "<html" not in html
    assert '<div id="executions"' in html


# One execution


def test_the_execution_page_shows_the_verdict_with_its_numbers(page: Client) -> None:
    html = text_of(page, f"/executions/{make_finished(3).pk}/")
    assert "Yes: all stories together took 1.10 × the time of one." in html
    for figure in ("10 s", "11 s", "2.73 ×"):
        assert f"<dd>{figure}</dd>" in html


def test_the_execution_page_says_why_there_is_no_verdict(page: Client) -> None:
    assert "No verdict. Fewer than two stories were completed." in text_of(page, f"/executions/{make_finished(1).pk}/")


def test_a_card_tells_what_its_developer_is_doing(page: Client) -> None:
    execution = make_execution(status="running", started_at=now())
    node = make_node(
        execution,
        status="running",
        started_at=now(),
        activity="waiting_for_lock",
        detail="a.py, held by developer-2",
        attempt=2,
        files=["one.py", "two.py", "three.py"],
    )
    Period.objects.create(
        node=node, attempt=2, activity="waiting_for_lock", started_at=node.started_at or now(), seconds=4.2
    )
    html = text_of(page, f"/executions/{execution.pk}/")
    for words in ("Waiting for lock", "a.py, held by developer-2", "try 2 of 3", "and 1 more", "4.2 s for files"):
        assert words in html


def test_failed_nodes_come_first_with_their_reason(page: Client) -> None:
    execution = make_finished(2, status="partial")
    failed = make_node(execution, status="failed", error_code="lock_timeout", error_message="It <b>waited</b> long.")
    html = text_of(page, f"/executions/{execution.pk}/")
    first = execution.nodes.get(number=1)
    assert html.index(f"node-{failed.pk}") < html.index(f"node-{first.pk}")
    assert "It &lt;b&gt;waited&lt;/b&gt; long." in html
    assert "lock_timeout" in html


def test_warnings_of_the_start_stay_on_the_page(page: Client) -> None:
    execution = make_execution(warnings=["Uncommitted changes are left alone."])
    assert "Uncommitted changes are left alone." in text_of(page, f"/executions/{execution.pk}/")


@pytest.mark.parametrize("rows", [1, 3])
def test_the_execution_page_takes_the_same_queries_for_any_number_of_nodes(
    page: Client, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    execution = make_finished(rows)
    with recording(execution.pk) as event:
        for node in execution.nodes.all():
            event("swarm:node-started", node)
    with django_assert_num_queries(8):  # session, user, execution, nodes, periods, events, 2 × permissions
        page.get(f"/executions/{execution.pk}/")


def test_a_change_brings_only_the_cards_that_changed(page: Client) -> None:
    execution = make_execution(status="running", started_at=now())
    changed, same = (make_node(execution, status="running", started_at=now()) for _ in range(2))
    with recording(execution.pk) as event:
        event("swarm:node-progress", same)
    with recording(execution.pk) as event:
        event("swarm:node-progress", changed)
    html = text_of(page, f"/executions/{execution.pk}/changes/?after=1")
    assert f'id="node-{changed.pk}"' in html
    assert f'id="node-{same.pk}"' not in html
    assert 'name="after" value="2"' in html
    for part in ("execution-header", "execution-summary", "feed", "seen"):
        assert f'id="{part}"' in html
    assert "<html" not in html


def test_a_change_of_state_brings_the_whole_grid_and_the_buttons(page: Client) -> None:
    execution = make_execution(status="running", started_at=now())
    node, other = make_node(execution), make_node(execution)
    with recording(execution.pk) as event:
        event("swarm:node-started", node)
    html = text_of(page, f"/executions/{execution.pk}/changes/?after=0")
    for part in (f"node-{node.pk}", f"node-{other.pk}", "nodes", "execution-actions"):
        assert f'id="{part}"' in html


@pytest.mark.parametrize("after", ["", "x", "-1", "9" * 30, "²"])
def test_an_odd_after_brings_everything(page: Client, after: str) -> None:
    execution = make_execution()
    node = make_node(execution)
    with recording(execution.pk) as event:
        event("swarm:node-started", node)
    response = page.get(f"/executions/{execution.pk}/changes/", {"after": after})
    assert f'id="node-{node.pk}"' in response.content.decode()


# One node


def test_the_node_page_shows_turns_and_checks_escaped(page: Client) -> None:
    node = make_node(make_execution(), status="running", started_at=now(), attempt=1)
    call = {"id": "c1", "function": {"name": "write_file", "arguments": '{"path": "a.py", "content": "<script>\\n"}'}}
    Turn.objects.create(
        node=node, attempt=1, number=1, reply={"content": "I write.", "tool_calls": [call]},
        results=[{"role": "tool", "tool_call_id": "c1", "content": "Error: path_held"}],
        prompt_tokens=1, completion_tokens=1, queued_s=0, upstream_s=1,
    )  # fmt: skip
    CheckRun.objects.create(
        node=node, attempt=1, command="pytest", exit_status=1, seconds=1, output="<b>1 failed</b>", on_commit="c" * 40
    )
    html = text_of(page, f"/nodes/{node.pk}/")
    for words in ("write_file", "I write.", "&lt;script&gt;", "Error: path_held", "&lt;b&gt;1 failed&lt;/b&gt;"):
        assert words in html
    assert "<script>" not in html


@pytest.mark.parametrize("rows", [1, 3])
def test_the_node_page_takes_the_same_queries_for_any_number_of_turns(
    page: Client, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    node = make_node(make_execution())
    for number in range(rows):
        Turn.objects.create(
            node=node,
            attempt=1,
            number=number,
            reply={},
            prompt_tokens=1,
            completion_tokens=1,
            queued_s=0,
            upstream_s=1,
        )
        CheckRun.objects.create(node=node, attempt=1, command="x", exit_status=0, seconds=1, on_commit="c" * 40)
    with django_assert_num_queries(8):  # session, user, node, periods, turns, checks, 2 × permissions
        page.get(f"/nodes/{node.pk}/")
