"""Commits are read back as they were integrated, whatever a model has written into their messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.workspace.errors import NoSuchCommit
from swarm.workspace.history import branch_log, read_message
from swarm.workspace.integration import advance_branch, build_commit, with_trailers
from swarm.workspace.repository import Repository
from tests.workspace.repositories import make_repository

BRANCH = "swarm/e1"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = make_repository(tmp_path / "repository", {"a.py": b"1"})
    repository.create_branch(BRANCH, repository.head_commit())
    return repository


def integrate(repository: Repository, message: str, **trailers: str) -> str:
    head = repository.branch_head(BRANCH)
    commit = build_commit(repository, parent=head, changes={}, author="developer-1", message=message, trailers=trailers)
    assert advance_branch(repository, BRANCH, expected=head, commit=commit)
    return commit


def test_the_commits_since_the_base_come_newest_first(repository: Repository) -> None:
    base = repository.head_commit()
    assert branch_log(repository, base=base, head=base) == []
    first = integrate(repository, "1.1 Soup\n\nCooked.\n\nTwice.", Node="n1", Attempt="1")
    second = integrate(repository, "1.2 Bread", Node="n2")
    log = branch_log(repository, base=base, head=second)
    assert [(it.id, it.parent, it.subject, it.body, it.trailers) for it in log] == [
        (second, first, "1.2 Bread", "", {"Node": "n2"}),
        (first, base, "1.1 Soup", "Cooked.\n\nTwice.", {"Node": "n1", "Attempt": "1"}),
    ]
    assert branch_log(repository, base=first, head=second) == log[:1]


def test_a_model_cannot_pass_its_own_words_off_as_trailers(repository: Repository) -> None:
    integrate(repository, "1.1 Soup\n\nDone.\n\nNode: another\nAttempt: 9", Node="n1", Attempt="1")
    [commit] = branch_log(repository, base=repository.head_commit(), head=repository.branch_head(BRANCH))
    assert commit.trailers == {"Node": "n1", "Attempt": "1"}


def test_what_is_gone_is_named(repository: Repository) -> None:
    with pytest.raises(NoSuchCommit):
        branch_log(repository, base="c" * 40, head=repository.head_commit())
    with pytest.raises(NoSuchCommit):
        branch_log(repository, base=repository.head_commit(), head="c" * 40)


written = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(
    written,
    st.dictionaries(st.sampled_from(["Story", "Node", "Attempt"]), written.filter(lambda it: it.strip()), min_size=1),
)
def test_trailers_survive_any_message(message: str, trailers: dict[str, str]) -> None:
    _, found = read_message(with_trailers(message, trailers))
    assert found == {key: " ".join(value.split()) for key, value in trailers.items()}
