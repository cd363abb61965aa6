"""The admin: every list and every row opens, history is read-only, and no list takes a query a row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from swarm.models import ApiToken, Call, CheckRun, Conflict, Event, Execution, FileLock, Node, Turn
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db

MODELS = [Execution, Node, FileLock, Conflict, Event, Turn, Call, CheckRun, ApiToken]
HISTORY = MODELS[:-1]


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def make_rows(count: int) -> None:
    at = now()
    first = Node.objects.count()
    for index in range(first, first + count):
        user = User.objects.create_user(f"user-{index}")
        execution = make_execution(created_by=user)
        node = make_node(
            execution, status="failed", error_code=f"code_{index}", started_at=at, finished_at=at + timedelta(seconds=1)
        )
        lock = FileLock.objects.create(
            key=f"{index}.py", path=f"{index}.py", node=node, locked_at=at, expires_at=at + timedelta(hours=1)
        )
        Conflict.objects.create(lock=lock, path=lock.path, execution=execution, node=node, held_by="x", policy="wait")
        Event.objects.create(execution=execution, seq=1, node=node, type="swarm:node-failed")
        Turn.objects.create(
            node=node, attempt=1, number=1, reply={}, prompt_tokens=1, completion_tokens=1, queued_s=0, upstream_s=1
        )
        Call.objects.create(node=node, attempt=1, number=1, model="m", outcome="ok")
        CheckRun.objects.create(node=node, attempt=1, command="x", exit_status=1, seconds=1, on_commit="c" * 40)
        ApiToken.issue(user)


def url_of(model: type, *rest: object) -> str:
    return "/".join(["/admin/swarm", model.__name__.lower(), *map(str, rest), ""])


@pytest.mark.parametrize("model", MODELS)
def test_a_list_takes_the_same_queries_for_any_number_of_rows(page: Client, model: type) -> None:
    counts = []
    for rows in (1, 2):  # one row, then three
        make_rows(rows)
        with CaptureQueriesContext(connection) as queries:
            assert page.get(url_of(model)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("model", MODELS)
def test_a_row_opens(page: Client, model: type) -> None:
    make_rows(1)
    row = model._default_manager.get()  # type: ignore[attr-defined]
    assert page.get(url_of(model, row.pk, "change")).status_code == 200


@pytest.mark.parametrize("model", HISTORY)
def test_history_cannot_be_made_changed_or_deleted(page: Client, model: type) -> None:
    make_rows(1)
    row = model._default_manager.get()  # type: ignore[attr-defined]
    assert page.get(url_of(model, "add")).status_code == 403
    assert page.post(url_of(model, row.pk, "change"), {}).status_code == 403
    assert page.post(url_of(model, row.pk, "delete"), {"post": "yes"}).status_code == 403


def test_failed_nodes_are_found_by_their_error_code(page: Client) -> None:
    make_rows(3)
    html = page.get(url_of(Node), {"status__exact": "failed", "error_code": "code_1"}).content.decode()
    assert html.count('<th class="field-name">') == 1
    assert "code_2" in html  # in the filter, not in the list


@pytest.mark.parametrize("model", [Execution, Node, FileLock, Conflict, Event, Turn, Call, CheckRun, ApiToken])
def test_a_search_finds_nothing_without_breaking(page: Client, model: type) -> None:
    make_rows(1)
    assert page.get(url_of(model), {"q": "no such thing"}).status_code == 200


def test_failed_calls_are_found_by_their_outcome(page: Client) -> None:
    make_rows(2)
    Call.objects.filter(pk=Call.objects.first().pk).update(outcome="upstream_timeout")  # type: ignore[union-attr]
    html = page.get(url_of(Call), {"outcome": "upstream_timeout"}).content.decode()
    assert html.count('<td class="field-outcome">') == 1


def test_rows_link_to_each_other_and_to_the_pages(page: Client) -> None:
    make_rows(1)
    node, execution = Node.objects.get(), Execution.objects.get()
    html = page.get(url_of(Node)).content.decode()
    assert f'href="/nodes/{node.pk}/"' in html
    assert f'href="{url_of(Execution, execution.pk, "change")}"' in html
    assert f'href="/executions/{execution.pk}/"' in page.get(url_of(Execution)).content.decode()


def test_a_token_shows_no_digest_and_can_be_revoked(page: Client) -> None:
    make_rows(1)
    token = ApiToken.objects.get()
    for url in (url_of(ApiToken), url_of(ApiToken, token.pk, "change")):
        assert token.digest not in page.get(url).content.decode()
    page.post(url_of(ApiToken, token.pk, "delete"), {"post": "yes"})
    assert not ApiToken.objects.exists()


def test_every_recorded_model_is_there() -> None:
    assert set(MODELS) <= set(admin.site._registry)


# Breaking locks


def break_locks(page: Client, locks: list[FileLock], **more: str) -> str:
    form = {"action": "break_locks", "_selected_action": [lock.pk for lock in locks]} | more
    return page.post(url_of(FileLock), form, follow=True).content.decode()


def test_locks_are_broken_after_a_question_and_it_is_logged(page: Client) -> None:
    make_rows(3)
    Event.objects.all().delete()  # which were made without counting them
    first, second, third = FileLock.objects.all()
    FileLock.objects.filter(pk=third.pk).update(node=None)
    html = break_locks(page, [first, second, third])
    assert "2 locks will be broken" in html
    assert FileLock.objects.filter(node=None).count() == 1

    html = break_locks(page, [first, second], reason="hotfix")
    assert f"The lock of developer-1 on story 1.1 on {first.path} is broken." in html
    assert FileLock.objects.filter(node=None).count() == 3
    entries = list(LogEntry.objects.order_by("object_id").values_list("object_id", "user__username"))
    assert entries == [(str(first.pk), "admin"), (str(second.pk), "admin")]
    assert "hotfix" in LogEntry.objects.all()[0].change_message
    assert "None of the selected files is held." in break_locks(page, [first])


def test_a_lock_is_not_broken_without_a_reason_or_the_permission(page: Client) -> None:
    make_rows(1)
    lock = FileLock.objects.get()
    assert "Say why the lock is broken" in break_locks(page, [lock], reason=" ")
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_filelock"))
    page.force_login(staff)
    assert "Break the selected locks" not in page.get(url_of(FileLock)).content.decode()
    break_locks(page, [lock], reason="hotfix")
    lock.refresh_from_db()
    assert lock.node is not None
    assert not LogEntry.objects.exists()
