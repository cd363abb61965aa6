"""The page of the model: what its limiter believes, in words, who waits, and what went through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Caller, close_gateway, get_gateway
from swarm.web.limiter import by_minute, concurrency_limit, request_limit, token_limit
from tests.chat.server import Exchange, ModelServer, answer, refuse
from tests.factories import PATIENCE_S, in_thread, make_execution, make_node, wait_until

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def page(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


@pytest.fixture
def model(model: ModelServer, settings: Any) -> Iterator[ModelServer]:
    settings.SWARM_CHAT_BASE_URL = model.url
    settings.SWARM_CHAT_API_KEY = "upstream-secret"
    settings.SWARM_CHAT_MODEL = "test-model"
    close_gateway()
    yield model
    close_gateway()


def call(execution: str = "e", node: str = "a1b2c3d4-0000-0000-0000-000000000000") -> None:
    get_gateway().complete(HELLO, caller=Caller(execution, node), deadline_s=PATIENCE_S, cancellation=Cancellation())


def html_of(page: Client, **headers: str) -> str:
    response = page.get("/limiter/", headers=headers or None)
    assert response.status_code == 200
    return response.content.decode()


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(client: Client) -> None:
    assert client.get("/limiter/")["Location"] == "/sign-in/?next=/limiter/"


@pytest.mark.usefixtures("model")
def test_before_the_first_call_the_page_says_what_it_waits_for(page: Client) -> None:
    html = html_of(page)
    assert "No calls yet" in html
    assert '<a href="/limiter/" aria-current="page">Model</a>' in html


def test_the_page_tells_what_went_through_and_never_the_key(model: ModelServer, page: Client) -> None:
    model.script = [refuse(429, headers={"Retry-After": "0.01"}), answer()]
    call()
    html = html_of(page)
    for words in (
        "test-model",
        model.url,
        "Idle. The next call goes at once.",
        "<dd>2</dd>",
        "in 1 burst",
        "Nobody waits.",
    ):
        assert words in html
    assert html.count('<rect data-series="answered"') == 1
    assert html.count('<rect data-series="refused"') == 1
    assert html.count('<rect data-series="tokens"') == 1
    assert (
        '<th scope="row">0 to 1</th><td class="number">1</td><td class="number">1</td><td class="number">10</td>'
        in html
    )
    assert "upstream-secret" not in html


@pytest.mark.django_db(transaction=True)
def test_who_waits_is_named_with_the_reason(model: ModelServer, page: Client, settings: Any) -> None:
    settings.SWARM_MAX_IN_FLIGHT = 1
    close_gateway()
    may_answer = threading.Event()

    def answer_late(exchange: Exchange) -> None:
        may_answer.wait(PATIENCE_S)
        answer()(exchange)

    model.always = answer_late
    node = make_node(make_execution())
    calls = [in_thread(call)]
    wait_until(lambda: model.in_flight == 1)
    calls += [in_thread(lambda: call(str(node.execution_id), str(node.pk)))]
    wait_until(lambda: len(get_gateway().state()["models"]["test-model"]["queue"]) == 1)
    calls += [in_thread(lambda: call("user-1"))]
    wait_until(lambda: len(get_gateway().state()["models"]["test-model"]["queue"]) == 2)

    html = html_of(page)

    may_answer.set()
    for it in calls:
        it.result(PATIENCE_S)
    assert "1 call under way, 2 wait: as many calls in flight as the model takes." in html
    assert "At most 1; as the settings say." in html
    assert f'href="/nodes/{node.pk}/">developer-1 on story 1.1</a>' in html
    assert "a client of /api/chat" in html
    assert "Others came first" in html


def test_a_pause_is_told_with_its_length(model: ModelServer, page: Client) -> None:
    model.script = [refuse(429, headers={"Retry-After": "20"})]
    cancellation = Cancellation()
    waiting = in_thread(
        lambda: get_gateway().complete(
            HELLO, caller=Caller("e", "00000000-0000-0000-0000-000000000000"), deadline_s=60, cancellation=cancellation
        )
    )
    wait_until(lambda: any(state["paused_for_s"] for state in get_gateway().state()["models"].values()))

    html = html_of(page)

    cancellation.cancel("Enough.")
    assert isinstance(waiting.exception(PATIENCE_S), Exception)
    assert "Paused for 20 s more" in html or "Paused for 19 s more" in html


def test_a_live_refresh_gets_the_state_alone(model: ModelServer, page: Client) -> None:
    call()
    html = html_of(page, **{"HX-Request": "true"})
    assert "<html" not in html
    assert html.strip().startswith('<div id="limiter"')


def test_the_page_has_no_inline_style_and_refreshes_without_a_socket(model: ModelServer, page: Client) -> None:
    call()
    html = html_of(page)
    assert " style=" not in html
    assert 'data-interval="2000"' in html
    assert "data-socket" not in html
    assert "Without JavaScript this page does not update by itself" in html


def test_a_key_that_cannot_be_used_is_said_on_the_page(model: ModelServer, page: Client, settings: Any) -> None:
    settings.SWARM_CHAT_API_KEY = "two words"
    close_gateway()
    assert "SWARM_CHAT_API_KEY holds characters that no key has" in html_of(page)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"value": 600.0, "burst": 10.0, "source": "settings"}, "At most 600 a minute, 10 of them at once; as the"),
        ({"value": 59.6, "burst": 1.0, "source": "learnt"}, "At most 60 a minute, 1 of them at once; learnt from"),
        ({"value": 60.0, "burst": 1.0, "source": "headers"}, "as the model's headers say."),
        ({"value": 60.0, "burst": 1.0, "source": "guess"}, "No limit met so far. A first guess holds: 60 a minute"),
    ],
)
def test_the_pace_is_said_with_how_it_is_known(limit: dict[str, Any], words: str) -> None:
    assert words in request_limit(limit)


def test_limits_that_nobody_knows_are_said_to_be_unknown() -> None:
    assert token_limit(None) == "No limit is known."
    assert concurrency_limit({"value": None, "source": "none"}) == "No limit is known."
    told = token_limit({"value": 90_000.0, "available": 1_200, "source": "headers"})
    assert "90\N{NARROW NO-BREAK SPACE}000 a minute" in told
    assert "1\N{NARROW NO-BREAK SPACE}200 left now" in told


def test_the_table_sums_up_by_minute_the_latest_first() -> None:
    past = {"interval_s": 10.0, "calls": [1] * 6 + [2] * 6, "refused": [0] * 12, "tokens": [10] * 12}
    assert by_minute(past) == [
        {"ago": 0, "calls": 12, "refused": 0, "tokens": 60},
        {"ago": 1, "calls": 6, "refused": 0, "tokens": 60},
    ]
