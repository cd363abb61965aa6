"""Reviewing a story and taking its branch over on the pages."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from swarm.engine import lifecycle, review
from swarm.models import CheckRun, Execution, Node
from swarm.workspace.repository import Repository
from tests.factories import make_execution, make_node
from tests.landed import ended_execution, landed_node
from tests.workspace.repositories import make_repository

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stories are queued, but nobody works on them."""
    for module in (lifecycle, review):
        monkeypatch.setattr(module, "dispatch", lambda execution_id: None)


@pytest.fixture
def page(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository", {"kitchen.py": b"salt = 0\n"})


@pytest.fixture
def execution(repository: Repository) -> Execution:
    return ended_execution(repository)


@pytest.fixture
def node(execution: Execution, repository: Repository) -> Node:
    return landed_node(repository, execution, {"kitchen.py": b"salt = '<b>'\n", "new.py": b"x\n" * 3})


def shown(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def said_after(client: Client, path: str, **form: str) -> str:
    return client.post(path, form, follow=True).content.decode()


# The change and its review


def test_a_completed_story_shows_its_change_escaped_and_asks_for_a_review(page: Client, node: Node) -> None:
    html = shown(page, f"/nodes/{node.pk}/")
    assert "Nobody has reviewed this commit yet." in html
    assert '<span data-line="-">-salt = 0\n</span><span data-line="+">+salt = &#x27;&lt;b&gt;&#x27;\n</span>' in html
    assert '<code>new.py</code> <span class="small muted">+3 −0</span>' in html
    for name in ("approve-button", "reject-button", "revert-button", 'popover role="dialog"'):
        assert name in html
    for path in (f"/api/swarm/nodes/{node.pk}/diff", f"/api/swarm/nodes/{node.pk}/patch"):
        assert f'href="{path}"' in html
        assert page.get(path).status_code == 200


def test_who_may_only_look_sees_the_change_and_why_there_is_nothing_to_press(
    client: Client, viewer: User, node: Node
) -> None:
    client.force_login(viewer)
    html = shown(client, f"/nodes/{node.pk}/")
    assert "+salt" in html
    assert "You may look; reviewing needs the permission to operate." in html
    assert "reject-dialog" not in html
    for verb in ("approve", "reject", "revert"):
        assert client.post(f"/nodes/{node.pk}/{verb}/", {"comment": "x"}).status_code == 403
    node.refresh_from_db()
    assert node.review == ""


def test_a_story_is_approved_rejected_and_reverted_with_a_word_on_each(page: Client, node: Node) -> None:
    html = said_after(page, f"/nodes/{node.pk}/approve/")
    assert "Approved." in html
    assert "approve-button" not in html
    assert "reject-button" in html

    html = said_after(page, f"/nodes/{node.pk}/revert/", comment="Not <i>now</i>.")
    assert "Reverted: its files, its story and the board" in html
    assert "Not &lt;i&gt;now&lt;/i&gt;." in html
    assert "by operator" in html
    assert "Nothing of it is on the branch. A retry does the story again" in html
    for name in ("approve-button", "reject-button", "revert-button"):
        assert name not in html
    assert "was reverted; nothing of it is on the branch" in said_after(page, f"/nodes/{node.pk}/approve/")
    assert f'action="/nodes/{node.pk}/retry/"' in html
    assert "The story runs again." in said_after(page, f"/nodes/{node.pk}/retry/")


def test_a_rejected_story_goes_back_into_the_queue_with_the_comment(page: Client, node: Node) -> None:
    html = said_after(page, f"/nodes/{node.pk}/reject/", comment="More salt.")
    assert "Rejected: a developer works on it again and is told why." in html
    assert "More salt." in html
    assert "revert-button" not in html
    node.refresh_from_db()
    assert node.status == "pending"


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [("", "Say what is wrong with the story"), (" ", "Say what is wrong"), ("x" * 10_001, "at most 10000 characters")],
)
def test_a_rejection_that_says_nothing_or_too_much_is_refused(
    page: Client, node: Node, comment: str, sentence: str
) -> None:
    assert sentence in said_after(page, f"/nodes/{node.pk}/reject/", comment=comment)
    node.refresh_from_db()
    assert node.status == "completed"


def test_the_check_that_proves_a_commit_is_marked(page: Client, node: Node) -> None:
    assert "No check command was set, so no check proves the commit." in shown(page, f"/nodes/{node.pk}/")
    for status in (1, 0):
        run = CheckRun.objects.create(
            node=node, attempt=1, command="x", exit_status=status, seconds=1, on_commit="c" * 40
        )
    Node.objects.update(proof=run)
    assert shown(page, f"/nodes/{node.pk}/").count("proves the commit") == 1


def test_a_change_that_cannot_be_read_is_said_and_the_page_stands(page: Client, node: Node) -> None:
    Node.objects.update(commit="c" * 40)
    assert "The change cannot be shown. The commit" in shown(page, f"/nodes/{node.pk}/")


def test_a_long_change_is_cut_and_the_rest_counted(page: Client, execution: Execution, repository: Repository) -> None:
    node = landed_node(repository, execution, {"long.py": b"x\n" * 3000, "other.py": b"y\n"})
    html = shown(page, f"/nodes/{node.pk}/")
    assert "1\N{NARROW NO-BREAK SPACE}002 more lines" in html
    assert html.count('data-line="+"') < 2000


def test_the_card_of_a_node_says_what_was_decided(page: Client, node: Node) -> None:
    review.approve(node.pk, user=None)
    html = shown(page, f"/executions/{node.execution_id}/")
    assert "Approved" in html
    assert "the operator approved story 1.1." in html


@pytest.mark.parametrize("verb", ["approve", "reject", "revert"])
def test_an_unknown_node_is_not_found(page: Client, verb: str) -> None:
    assert page.post(f"/nodes/{uuid.uuid4()}/{verb}/").status_code == 404
    assert page.get(f"/nodes/{uuid.uuid4()}/{verb}/").status_code == 405


# The branch


def git(repository: Repository, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository.root, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_branch_page_shows_commits_commands_and_where_it_can_be_merged(
    page: Client, execution: Execution, node: Node, repository: Repository
) -> None:
    git(repository, "branch", "release")
    html = shown(page, f"/executions/{execution.pk}/branch/")
    assert f"git merge {execution.branch}" in html
    assert f"git cherry-pick {node.commit[:12]}" in html
    assert '<option value="release">release</option>' in html
    assert '<option value="main" disabled>main (checked out: merge in your shell)</option>' in html
    assert f'Not approved yet: <a href="/nodes/{node.pk}/">1.1</a>.' in html
    assert f'href="/executions/{execution.pk}/branch/"' in shown(page, f"/executions/{execution.pk}/")
    review.approve(node.pk, user=None)
    assert "Not approved yet" not in shown(page, f"/executions/{execution.pk}/branch/")


def test_a_merge_is_done_and_said_and_again_changes_nothing(
    page: Client, execution: Execution, node: Node, repository: Repository
) -> None:
    git(repository, "branch", "release")
    html = said_after(page, f"/executions/{execution.pk}/merge/", into="release")
    assert "release is now where the execution&#x27;s branch is (fast-forward)." in html
    assert git(repository, "rev-parse", "release") == node.commit
    assert "release holds all of it already" in said_after(page, f"/executions/{execution.pk}/merge/", into="release")
    assert "operator merged the branch into release." in shown(page, f"/executions/{execution.pk}/")


@pytest.mark.parametrize(
    ("into", "sentence"),
    [
        ("", "Choose a branch."),
        ("main", "main is checked out in a working tree"),
        ("nowhere", "There is no branch nowhere"),
        ("x" * 501, "at most 500 characters"),
    ],
)
def test_a_merge_that_cannot_be_is_refused_in_a_sentence(
    page: Client, execution: Execution, node: Node, into: str, sentence: str
) -> None:
    assert sentence in said_after(page, f"/executions/{execution.pk}/merge/", into=into)


def test_an_empty_branch_and_one_that_is_gone_say_so(
    page: Client, execution: Execution, repository: Repository
) -> None:
    assert "Nothing is on the branch yet" in shown(page, f"/executions/{execution.pk}/branch/")
    git(repository, "branch", "-D", execution.branch)
    html = shown(page, f"/executions/{execution.pk}/branch/")
    assert "<b>The branch cannot be read.</b> The branch swarm/" in html


def test_who_may_only_look_may_not_merge(client: Client, viewer: User, execution: Execution, node: Node) -> None:
    client.force_login(viewer)
    assert "merging needs the permission to operate" in shown(client, f"/executions/{execution.pk}/branch/")
    assert client.post(f"/executions/{execution.pk}/merge/", {"into": "main"}).status_code == 403


@pytest.mark.parametrize("rows", [1, 3])
def test_the_branch_page_takes_the_same_queries_for_any_number_of_commits(
    page: Client,
    execution: Execution,
    repository: Repository,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(rows):
        landed_node(repository, execution, {f"{number}.py": b"x"})
    with django_assert_num_queries(7):  # session, user, execution, its nodes, their ids, 2 × permissions
        page.get(f"/executions/{execution.pk}/branch/")


# Pruned executions


def test_pages_of_a_pruned_execution_say_what_is_gone(page: Client) -> None:
    ended = {"status": "completed", "finished_at": now()}
    node = make_node(make_execution(pruned_at=now(), **ended), **ended)
    for path in (f"/executions/{node.execution_id}/", f"/nodes/{node.pk}/"):
        assert "The older events, turns, calls and checks of this execution were removed" in shown(page, path)
