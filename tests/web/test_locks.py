"""The page of locks: who holds what and who waits, and what people may do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from swarm.models import Conflict, Event, FileLock, Node
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def breaker(client: Client, operator: User) -> Client:
    """Somebody who may break locks as well."""
    operator.user_permissions.add(Permission.objects.get(codename="break_lock"))
    client.force_login(operator)
    return client


def text_of(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, headers=headers or None)
    assert response.status_code == 200
    return response.content.decode()


def make_lock(path: str, **holder: Any) -> FileLock:
    at = now()
    values = {"token": 1, "locked_at": at, "expires_at": at + timedelta(hours=1)} | holder
    return FileLock.objects.create(key=path, path=path, **values)


def make_waiting(lock: FileLock, node: Node) -> Conflict:
    return Conflict.objects.create(
        lock=lock, path=lock.path, execution=node.execution, node=node, held_by=lock.holder, policy="wait"
    )


def messages_after(response: Any) -> str:
    """What the page says that a POST leads to."""
    assert response.redirect_chain == [("/locks/", 302)]
    return str(response.content.decode())


def test_it_shows_who_holds_until_when_and_who_waits_in_which_order(page: Client, viewer: User) -> None:
    execution = make_execution()
    holder, second, third = (make_node(execution) for _ in range(3))
    lock = make_lock("a.py", node=holder)
    make_waiting(lock, third)
    make_waiting(lock, second)
    make_lock("b.py", user=viewer, reason="release", expires_at=now() + timedelta(hours=2, seconds=30))
    make_lock("expired.py", user=viewer, expires_at=now() - timedelta(seconds=1))
    FileLock.objects.create(key="free.py", path="free.py")
    html = text_of(page, "/locks/")
    for words in ("developer-1 on story 1.1", "b.py", "release", "viewer", "its story is done", "2 h 00 min left"):
        assert words in html
    assert html.index("developer-3 on story 1.3") < html.index("developer-2 on story 1.2")
    assert "free.py" not in html
    assert "expired.py" not in html


def test_it_says_so_when_nothing_is_held(page: Client) -> None:
    assert "No file is held." in text_of(page, "/locks/")


def test_a_live_refresh_gets_the_list_alone(page: Client) -> None:
    html = text_of(page, "/locks/", **{"HX-Request": "true"})
    assert '<section id="locks"' in html
    assert "<html" not in html
    assert 'name="path"' not in html


@pytest.mark.parametrize("rows", [1, 3])
def test_it_takes_the_same_queries_for_any_number_of_rows(
    page: Client, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    execution = make_execution()
    for number in range(rows):
        make_waiting(make_lock(f"{number}.py", node=make_node(execution)), make_node(execution))
    with django_assert_num_queries(6):  # session, user, 2 × permissions, locks, lines
        page.get("/locks/")


# Holding and releasing


def hold(page: Client, **changes: Any) -> Any:
    return page.post("/locks/", {"path": "src/a.py", "reason": "by hand", "minutes": "5"} | changes, follow=True)


def test_a_person_holds_a_file_and_releases_it(page: Client, operator: User) -> None:
    before = now()
    assert "You hold src/a.py until" in messages_after(hold(page, path="./src//a.py"))
    lock = FileLock.objects.get()
    assert (lock.path, lock.user, lock.reason) == ("src/a.py", operator, "by hand")
    assert lock.expires_at is not None
    assert timedelta(minutes=5) <= lock.expires_at - before < timedelta(minutes=6)
    assert "(you)" in text_of(page, "/locks/")

    response = page.post("/locks/release/", {"path": "src/a.py"}, follow=True)
    assert "You gave src/a.py up." in messages_after(response)
    assert FileLock.objects.get().user is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"path": ""}, "This field is required."),
        ({"path": "../a.py"}, "contains &#x27;..&#x27;"),
        ({"path": ".git/config"}, "belongs to git"),
        ({"path": "held.py"}, "held.py is held by admin"),
        ({"path": "a\0b"}, "Null characters are not allowed."),
        ({"minutes": ""}, "This field is required."),
        ({"minutes": "nan"}, "Enter a number."),
        ({"minutes": "0"}, "greater than or equal to 0.1"),
        ({"minutes": "99999"}, "less than or equal to 10080"),
        ({"reason": "r" * 501}, "at most 500 characters"),
    ],
)
def test_what_cannot_be_held_is_said_beside_the_field(
    page: Client, admin_user: User, changes: dict[str, str], sentence: str
) -> None:
    make_lock("held.py", user=admin_user)
    response = hold(page, **changes)
    html = response.content.decode()
    assert (response.status_code, response.redirect_chain) == (200, [])
    assert sentence in html
    assert 'aria-invalid="true"' in html
    assert 'value="by hand"' in html or "reason" in changes
    assert FileLock.objects.count() - FileLock.objects.filter(user=None).count() == 1


def test_only_ones_own_lock_can_be_released(page: Client, viewer: User) -> None:
    make_lock("a.py", user=viewer)
    html = text_of(page, "/locks/")
    assert "Release" not in html
    assert "Break…" not in html
    for path, sentence in (("a.py", "held by viewer, not by you"), ("b.py", "not locked"), ("", "empty")):
        assert sentence in messages_after(page.post("/locks/release/", {"path": path}, follow=True))
    assert FileLock.objects.get(key="a.py").user == viewer


def test_who_may_only_look_can_neither_hold_nor_release_nor_break(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    lock = make_lock("a.py", user=viewer)
    html = text_of(client, "/locks/")
    assert "holding a file needs the permission to operate" in html
    assert "Hold the file" not in html
    assert "Release" not in html
    for url in ("/locks/", "/locks/release/", f"/locks/{lock.pk}/break/"):
        response = client.post(url, {"path": "a.py", "minutes": "5", "reason": "x", "token": "1"})
        assert response.status_code == 403
        assert "You may look, but not change anything here" in response.content.decode()
    lock.refresh_from_db()
    assert lock.user == viewer


# Breaking


def test_a_lock_is_broken_after_a_question_with_a_reason(breaker: Client) -> None:
    execution = make_execution()
    holder, following = make_node(execution), make_node(execution)
    lock = make_lock("a.py", node=holder)
    make_waiting(lock, following)
    url = f"/locks/{lock.pk}/break/"
    assert url in text_of(breaker, "/locks/")
    html = text_of(breaker, url)
    for words in (
        "Break the lock on",
        "developer-1 on story 1.1",
        "developer-2 on story 1.2",
        "its story is tried again",
    ):
        assert words in html

    assert "Say why the lock is broken." in breaker.post(url, {"reason": " ", "token": "1"}).content.decode()
    assert Event.objects.count() == 0
    response = breaker.post(url, {"reason": "hotfix", "token": "1"}, follow=True)
    assert "The lock of developer-1 on story 1.1 on a.py is broken." in messages_after(response)
    lock.refresh_from_db()
    assert (lock.node, lock.token) == (following, 2)
    page = text_of(breaker, f"/executions/{execution.pk}/")
    assert "Lost a.py: operator broke the lock (hotfix)." in page


def test_a_lock_that_changed_hands_after_the_question_is_left_alone(breaker: Client, viewer: User) -> None:
    lock = make_lock("a.py", user=viewer, token=7)
    response = breaker.post(f"/locks/{lock.pk}/break/", {"reason": "hotfix", "token": "6"}, follow=True)
    assert "has changed meanwhile" in messages_after(response)
    lock.refresh_from_db()
    assert lock.user == viewer


@pytest.mark.parametrize("method", ["get", "post"])
def test_there_is_nothing_to_ask_about_a_lock_that_nobody_holds(breaker: Client, method: str) -> None:
    lock = FileLock.objects.create(key="a.py", path="a.py")
    for number in (lock.pk, 999):
        response = getattr(breaker, method)(f"/locks/{number}/break/", follow=True)
        assert "Nobody holds that file any more" in messages_after(response)
