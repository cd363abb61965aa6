"""Settings from the environment: typed, with defaults, and explained by `manage.py check` where they cannot work."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import environ
import pytest
from django.conf import settings
from django.core import checks
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from swarmsite.environment import MOST, Environment

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/somewhere/db.sqlite3"}
PASSWORD = "hunter2"


def environment(**values: str) -> Environment:
    env = environ.Env()
    env.ENVIRON = values
    return Environment(env)


@pytest.mark.parametrize(("raw", "value"), [("", 7), ("  ", 7), ("0", 0), (" 12 ", 12), (str(MOST), MOST)], ids=repr)
def test_a_whole_number_is_read(raw: str, value: int) -> None:
    env = environment(X=raw)
    assert (env.whole_number("X", 7, at_least=0), env.problems) == (value, [])


@pytest.mark.parametrize("raw", ["many", "1.5", "-1", "1e3", "0x10", str(MOST + 1), "9" * 5000, "nan"])
def test_what_is_no_whole_number_or_out_of_range_is_a_problem_and_gives_the_default(raw: str) -> None:
    env = environment(X=raw)
    assert env.whole_number("X", 7, at_least=0) == 7
    [problem] = env.problems
    assert (problem.variable, problem.message) == ("X", f"X={raw!r} cannot be used.")
    assert problem.hint == "Use a whole number from 0 to 1000000000."


@pytest.mark.parametrize(("raw", "value"), [("", 7), ("0.3", 0.3), ("1e2", 100), (" 5 ", 5)], ids=repr)
def test_seconds_are_read(raw: str, value: float) -> None:
    env = environment(X=raw)
    assert (env.seconds("X", 7, at_least=0.3), env.problems) == (value, [])


@pytest.mark.parametrize("raw", ["soon", "0.29", "-5", "nan", "inf", "1e300", "5s"])
def test_what_is_no_number_of_seconds_or_out_of_range_is_a_problem_and_gives_the_default(raw: str) -> None:
    env = environment(X=raw)
    assert env.seconds("X", 7, at_least=0.3) == 7
    assert [problem.hint for problem in env.problems] == ["Use a number of seconds from 0.3 to 1000000000."]


@pytest.mark.parametrize(
    ("raw", "value"),
    [("true", True), ("1", True), ("Yes", True), ("ON", True), ("false", False), ("0", False), ("no", False)],
)
def test_a_flag_is_read(raw: str, value: bool) -> None:
    env = environment(X=raw)
    assert (env.flag("X", not value), env.problems) == (value, [])


def test_what_is_no_flag_is_a_problem_and_gives_the_default() -> None:
    env = environment(X="maybe")
    assert (env.flag("X", False), env.flag("Y", True)) == (False, True)
    assert [(problem.variable, problem.hint) for problem in env.problems] == [("X", "Use true or false.")]


def test_prices_are_read_exactly() -> None:
    env = environment(X='{"a": [0.1, 10], "b": [0, 2.50]}')
    assert env.prices("X") == {"a": (Decimal("0.1"), Decimal(10)), "b": (Decimal(0), Decimal("2.50"))}
    assert (env.prices("Y"), env.problems) == ({}, [])


@pytest.mark.parametrize(
    "raw",
    [
        "cheap", "[1, 2]", '{"a": 1}', '{"a": [1]}', '{"a": [1, 2, 3]}', '{"a": ["1", "2"]}', '{"a": [-1, 2]}',
        '{"a": [true, 1]}', '{"a": [NaN, 1]}', '{"a": [1, Infinity]}', '{"a": [1, 1e999]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_price_table_is_a_problem_and_gives_none(raw: str) -> None:
    env = environment(X=raw)
    assert env.prices("X") == {}
    [problem] = env.problems
    assert problem.hint.startswith('Use JSON such as {"gpt-5": [1.25, 10]}')


def test_words_are_separated_by_commas() -> None:
    env = environment(X=" a, b ,,c")
    assert (env.words("X", []), env.words("Y", ["d", "e"])) == (["a", "b", "c"], ["d", "e"])


@pytest.mark.parametrize("secret", ["$ecret", "$PATH", r"\$ecret", "sk-{}%s#='\""])
def test_a_secret_is_taken_as_it_is(secret: str) -> None:
    assert environment(X=secret, PATH="/bin").text("X") == secret


def test_a_database_is_read_from_its_url() -> None:
    env = environment(X="postgres://ada:p%40ss@db.local:5433/swarm")
    database = env.database("X", SQLITE)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert [database[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        "ada",
        "p@ss",
        "db.local",
        5433,
        "swarm",
    ]
    default = env.database("Y", SQLITE)
    assert (default["ENGINE"], default["NAME"]) == ("django.db.backends.sqlite3", "/somewhere/db.sqlite3")
    assert env.problems == []


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        f"//ada:{PASSWORD}@host/swarm",
        f"mysql://ada:{PASSWORD}@host/swarm",
        f"postgres://ada:{PASSWORD}@host:port/swarm",
        f"postgres://ada:{PASSWORD}@host:99999/swarm",
        f"postgres://ada:{PASSWORD}@host",
        f"postgres://ada:{PASSWORD}@[::1/swarm",
        "sqlite://",
        "sqlite:///",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite://db.sqlite3",
    ],
)
def test_an_unusable_database_is_a_problem_that_keeps_the_password_and_gives_the_default(url: str) -> None:
    env = environment(X=url)
    assert env.database("X", SQLITE)["NAME"] == "/somewhere/db.sqlite3"
    [problem] = env.problems
    assert problem.variable == "X"
    assert "postgres://USER:PASSWORD@HOST:PORT/NAME" in problem.hint
    assert PASSWORD not in problem.message + problem.hint


@given(url=st.text(max_size=60) | st.from_regex(r"(sqlite|postgres)(ql)?://[\x21-\x7e]{0,40}", fullmatch=True))
def test_no_database_url_whatever_stops_the_start(url: str) -> None:
    assert environment(X=url).database("X", SQLITE)["ENGINE"] in {
        "django.db.backends.sqlite3",
        "django.db.backends.postgresql",
    }


@pytest.mark.parametrize("url", ["https://api.example.com/v1", "http://127.0.0.1:8080/v1", "http://[::1]:8080"])
def test_the_address_of_a_model_is_an_http_one(url: str) -> None:
    with override_settings(SWARM_CHAT_BASE_URL=url):
        assert not [it for it in checks.run_checks() if it.id == "swarm.E002"]


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com/v1", f"ftp://ada:{PASSWORD}@host", "http://", "https:///v1", "http://[::1", "http://a:b"],
)
def test_another_address_is_explained_without_repeating_it(url: str) -> None:
    with override_settings(SWARM_CHAT_BASE_URL=url):
        [problem] = [it for it in checks.run_checks() if it.id == "swarm.E002"]
    assert problem.msg == "SWARM_CHAT_BASE_URL is not an HTTP address."
    assert "https://api.openai.com/v1" in str(problem.hint)


BAD = {
    "DEBUG": "maybe",
    "SWARM_MAX_IN_FLIGHT": "-1",
    "SWARM_RPM": "fast",
    "SWARM_TPM": "1.5",
    "SWARM_CALL_TIMEOUT": "0",
    "SWARM_MAX_DEVELOPERS": "0",
    "SWARM_NODE_TIMEOUT": "nan",
    "SWARM_NODE_LEASE": "0.1",
    "SWARM_LOCK_TTL": "for ever",
    "SWARM_LOCK_WAIT": "0",
    "DATABASE_URL": f"mysql://ada:{PASSWORD}@host/swarm",
    "SWARM_CHAT_BASE_URL": f"ftp://ada:{PASSWORD}@host",
    "SWARM_CHAT_URL": "/api/chat",
    "SWARM_PRICES": "cheap",
}


def run_check(**values: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` as an operator runs it, with no variable of Swarm's but these."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "check"],
        env=keep | values,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_check_explains_every_bad_variable_at_once_and_tells_no_secret() -> None:
    result = run_check(SECRET_KEY="s3cret-key", SWARM_CHAT_API_KEY="s3cret-api-key", **BAD)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    for variable in BAD:
        [place] = [number for number, line in enumerate(lines) if line.startswith("?: ") and variable in line]
        assert "HINT: Use " in lines[place + 1]
    assert PASSWORD not in result.stderr + result.stdout
    assert "s3cret" not in result.stderr + result.stdout


def test_without_any_variable_the_check_warns_of_the_key_alone() -> None:
    result = run_check(SECRET_KEY="")  # empty, as if it were not there, also where a .env names one
    assert result.returncode == 0, result.stderr
    assert "System check identified 1 issue" in result.stdout + result.stderr
    assert "SECRET_KEY is not set" in result.stderr


def test_with_a_key_there_is_nothing_to_say() -> None:
    result = run_check(SECRET_KEY="s3cret-key")
    assert result.returncode == 0
    assert result.stdout.startswith("System check identified no issues")
