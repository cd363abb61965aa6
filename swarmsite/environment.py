"""Reads typed values from the environment without ever failing.

A bad value must not stop `manage.py check` from explaining it, so each reader falls back to its default and notes the
problem; `swarm.checks` reports what was noted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import environ

Value = TypeVar("Value")

MOST = 10**9
"""No number may be greater: as seconds it is 31 years, and no clock, counter or column overflows at it."""


@dataclass(frozen=True)
class EnvironmentProblem:
    """One variable that could not be used: its name, what is wrong, what to write instead."""

    variable: str
    message: str
    hint: str


class Environment:
    """The process environment and an optional `.env` file, with the problems met while reading them."""

    def __init__(self, env: environ.Env) -> None:
        self._env = env
        self.problems: list[EnvironmentProblem] = []

    def text(self, name: str, default: str = "") -> str:
        # Not `self._env.str`, which takes a value that starts with $, as a secret may, for another variable's name.
        return str(self._env.ENVIRON.get(name, default)).strip()

    def words(self, name: str, default: list[str]) -> list[str]:
        """Comma-separated values."""
        return [word.strip() for word in self.text(name, ",".join(default)).split(",") if word.strip()]

    def flag(self, name: str, default: bool) -> bool:
        return self._parse(name, default, _flag, "Use true or false.")

    def whole_number(self, name: str, default: int, *, at_least: int) -> int:
        hint = f"Use a whole number from {at_least} to {MOST}."
        return self._parse(name, default, lambda raw: _within(int(raw), at_least), hint)

    def seconds(self, name: str, default: float, *, at_least: float) -> float:
        hint = f"Use a number of seconds from {at_least:g} to {MOST}."
        return self._parse(name, default, lambda raw: _within(float(raw), at_least), hint)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        return self._parse(name, default, lambda raw: choices[choices.index(raw)], f"Use one of: {', '.join(choices)}.")

    def prices(self, name: str) -> dict[str, tuple[Decimal, Decimal]]:
        """What a million tokens cost, in and out, by model: `{"model": [prompt, completion]}` in JSON."""
        hint = 'Use JSON such as {"gpt-5": [1.25, 10]}: by model, the price of a million tokens in and out.'
        return self._parse(name, {}, _prices, hint)

    def database(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        """A Django database dictionary from a URL such as `postgres://user:password@host/name`."""
        url = self.text(name)
        if not url:
            return default
        try:
            # Checked before it is parsed: the parser warns of other URLs, passwords included.
            if not url.startswith(("sqlite:///", "postgres://", "postgresql://")):
                raise ValueError("not SQLite or PostgreSQL")
            database: dict[str, Any] = self._env.db_url_config(url)
            if database["NAME"] in {"", ":memory:"}:
                raise ValueError("no database that threads could share")
        except (ValueError, environ.ImproperlyConfigured):
            # The URL may hold a password, so it is not repeated.
            self.problems.append(
                EnvironmentProblem(
                    name, f"{name} is not the URL of a SQLite or PostgreSQL database.",
                    "Use postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:////path/to/file.",
                )
            )  # fmt: skip
            return default
        return database

    def _parse(self, name: str, default: Value, parse: Callable[[str], Value], hint: str) -> Value:
        raw = self.text(name)
        if not raw:
            return default
        try:
            return parse(raw)
        except (ValueError, RecursionError):
            self.problems.append(EnvironmentProblem(name, f"{name}={raw!r} cannot be used.", hint))
            return default


def _flag(raw: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if raw.lower() not in words:
        raise ValueError(raw)
    return words[raw.lower()]


def _prices(raw: str) -> dict[str, tuple[Decimal, Decimal]]:
    document = json.loads(raw, parse_int=Decimal, parse_float=Decimal)
    if not isinstance(document, dict):
        raise ValueError(raw)
    return {model: _price(price) for model, price in document.items()}


def _price(price: Any) -> tuple[Decimal, Decimal]:
    match price:
        case [Decimal() as prompt, Decimal() as completion] if 0 <= prompt <= MOST and 0 <= completion <= MOST:
            return prompt, completion
    raise ValueError(price)


def _within(value: Any, least: float) -> Any:
    if not least <= value <= MOST:
        raise ValueError(value)
    return value
