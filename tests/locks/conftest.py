from __future__ import annotations

import pytest

from swarm.locks import claims


@pytest.fixture(autouse=True)
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters hear of a hand-over by its wake-up or never, so that no test passes thanks to the poll behind it."""
    monkeypatch.setattr(claims, "POLL_S", 3600.0)


@pytest.fixture
def fast_poll(no_poll: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters look at their row all the time, as they do for what nobody in this process tells them."""
    monkeypatch.setattr(claims, "POLL_S", 0.01)
