"""Signing in and out, and that nobody can guess passwords at speed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_counts() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def sign_in(client: Client, name: str, password: str, address: str = "10.0.0.1") -> int:
    response = client.post("/sign-in/", {"username": name, "password": password}, REMOTE_ADDR=address)
    return response.status_code


def test_the_right_password_leads_to_the_page_that_was_asked_for(client: Client, viewer: User) -> None:
    response = client.post("/sign-in/?next=/locks/", {"username": "viewer", "password": "viewer-password"})
    assert (response.status_code, response["Location"]) == (302, "/locks/")


def test_another_site_is_no_place_to_be_led_to(client: Client, viewer: User) -> None:
    response = client.post(
        "/sign-in/?next=https://evil.example/", {"username": "viewer", "password": "viewer-password"}
    )
    assert response["Location"] == "/executions/"


def test_a_wrong_password_is_said_and_the_name_kept(client: Client, viewer: User) -> None:
    html = client.post("/sign-in/", {"username": "viewer", "password": "wrong"}).content.decode()
    assert "Please enter a correct username and password" in html
    assert 'value="viewer"' in html


def test_ten_attempts_a_minute_from_one_address(client: Client) -> None:
    assert [sign_in(client, f"name-{attempt}", "x") for attempt in range(11)] == [200] * 10 + [429]
    assert sign_in(client, "another", "x", address="10.0.0.2") == 200


def test_ten_attempts_a_minute_for_one_name_in_any_spelling(client: Client, viewer: User) -> None:
    statuses = [sign_in(client, name, "x", f"10.0.1.{at}") for at, name in enumerate(["viewer", " VIEWER "] * 5)]
    assert statuses == [200] * 10
    assert sign_in(client, "viewer", "viewer-password", "10.0.1.99") == 429


def test_who_is_too_fast_reads_when_to_come_back(client: Client) -> None:
    for _ in range(10):
        sign_in(client, "name", "x")
    response = client.post("/sign-in/", {"username": "name", "password": "x"}, REMOTE_ADDR="10.0.0.1")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert "Too many attempts to sign in" in response.content.decode()


def test_looking_at_the_form_counts_as_no_attempt(client: Client) -> None:
    assert {client.get("/sign-in/").status_code for _ in range(12)} == {200}


def test_signing_out_takes_a_post(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/executions/").status_code == 302
