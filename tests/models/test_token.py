"""API tokens: shown once, stored as a hash, good for their active owner alone."""

from __future__ import annotations

import hashlib

import pytest
from django.contrib.auth.models import User

from swarm.models import ApiToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def test_only_the_hash_of_a_token_is_stored(ada: User) -> None:
    token = ApiToken.issue(ada)
    row = ApiToken.objects.values().get()
    assert row["digest"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in "".join(map(str, row.values()))


def test_a_token_names_its_owner(ada: User) -> None:
    tokens = [ApiToken.issue(ada), ApiToken.issue(ada)]
    assert tokens[0] != tokens[1]
    assert [ApiToken.owner(token) for token in tokens] == [ada, ada]


@pytest.mark.parametrize("token", ["", "swarm_", "swarm_something-else", "\x00"])
def test_an_unknown_token_names_nobody(token: str, ada: User) -> None:
    ApiToken.issue(ada)
    assert ApiToken.owner(token) is None


def test_neither_a_hash_nor_the_token_of_a_disabled_user_opens_anything(ada: User) -> None:
    token = ApiToken.issue(ada)
    assert ApiToken.owner(ApiToken.objects.get().digest) is None
    User.objects.update(is_active=False)
    assert ApiToken.owner(token) is None
