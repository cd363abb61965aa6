"""From the stories to the branch: the main job on real git, real HTTP and real threads."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import pygit2
import pytest

from swarm.models import CheckRun, Conflict, Event, Execution, FileLock, Node, Period, Turn
from swarm.simulator.workspace import run_acceptance
from swarm.workspace.checkout import checked_out
from swarm.workspace.repository import Repository
from tests.chat.server import Exchange
from tests.main_job import MainJob, call_tools, node_of, play, story_of
from tests.workspace.repositories import commit_all

pytestmark = pytest.mark.usefixtures("each_way")

ALL = ("1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "3.4")
FOLDER = "_bmad-output/implementation-artifacts"


def test_every_story_is_completed_and_its_acceptance_tests_pass_in_the_integrated_result(
    main_job: MainJob, tmp_path: Path
) -> None:
    execution = main_job.run(*ALL)

    assert execution["status"] == Execution.Status.COMPLETED
    assert {node["status"] for node in execution["nodes"]} == {Node.Status.COMPLETED}
    repository = Repository.open(main_job.workspace)
    with checked_out(repository, commit=execution["base_commit"], changes={}, root=tmp_path / "before") as before:
        assert run_acceptance(before).returncode != 0
    with checked_out(repository, commit=execution["head_commit"], changes={}, root=tmp_path / "after") as after:
        result = run_acceptance(after)
        assert result.returncode == 0, result.stdout


def test_each_story_is_one_commit_with_its_developer_and_trailers(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "2.3", "3.3")

    commits = main_job.commits(execution)
    assert len(commits) == 3
    assert all(len(commit.parents) == 1 for commit in commits)
    by_commit = {node["commit"]: node for node in execution["nodes"]}
    for commit in commits:
        node = by_commit[str(commit.id)]
        assert commit.author.name == node["name"]
        assert f"Story: {node['story']['id']}\nExecution: {execution['id']}\n" in commit.message


def test_a_story_keeps_the_id_that_its_plan_gives_it(main_job: MainJob) -> None:
    plan = main_job.workspace / FOLDER / "stories.yaml"
    plan.write_text('- id: "2-3"\n  title: Find what can be cooked\n  description: Cook\n')
    commit_all(pygit2.Repository(str(main_job.workspace)), "Plan")

    execution = main_job.run("2-3")

    [commit] = main_job.commits(execution)
    assert "\nStory: 2-3\n" in commit.message


def test_the_story_file_and_the_board_say_review_in_the_same_commit(main_job: MainJob) -> None:
    execution = main_job.run("1.1")

    story = main_job.file(execution, node_of(execution, "1.1")["story"]["path"])
    assert "\nStatus: review\n" in story
    assert "- [ ]" not in story.split("## Dev Notes")[0]
    assert "simulated-developer" in story.split("### Agent Model Used")[1]
    assert "larder/units.py" in story.split("### File List")[1]
    assert "1-1-weigh-in-ounces-and-pounds: review" in main_job.file(execution, f"{FOLDER}/sprint-status.yaml")


def test_stories_that_change_the_same_file_wait_for_each_other_and_lose_nothing(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "1.2")

    conflict = Conflict.objects.get()
    assert conflict.path == "larder/units.py"
    assert conflict.outcome == Conflict.Outcome.GRANTED
    waited = Node.objects.get(pk=conflict.node_id)
    assert node_of(execution, waited.story_id)["lock_wait"] > 0
    changed = [
        {delta.new_file.path for delta in commit.tree.diff_to_tree(commit.parents[0].tree).deltas}
        for commit in main_job.commits(execution)
    ]
    assert all("larder/units.py" in paths for paths in changed)
    assert execution["progress"]["completed"] == 2


def test_a_developer_that_is_notified_does_other_work_and_is_told_when_the_path_is_free(main_job: MainJob) -> None:
    held, refused = threading.Event(), threading.Event()

    def hold_until_the_other_is_refused(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            held.set()
            assert refused.wait(30)
        play(exchange)

    def do_other_work_until_free(exchange: Exchange) -> None:
        said = str(exchange.request.body)
        if "Error: path_held" in said:
            refused.set()
        if "Error: path_held" in said and "Free now" not in said:
            time.sleep(0.05)  # the model thinks; it has 100 turns
            call_tools(exchange, ("list_files", json.dumps({"glob": f"{len(said)}*"})))
        else:
            assert held.wait(30)
            play(exchange)

    main_job.behaviours = {"1.1": do_other_work_until_free, "1.2": hold_until_the_other_is_refused}

    execution = main_job.run("1.1", "1.2", on_conflict="notify")

    assert execution["progress"]["completed"] == 2
    assert Conflict.objects.get().outcome == Conflict.Outcome.NOTIFIED
    refused_last = [it.body for it in main_job.model.received if story_of(it.body) == "1.1"][-1]
    assert {"role": "user", "content": "Free now: larder/units.py. You can write there."} in refused_last["messages"]


def test_a_story_whose_first_try_fails_its_checks_is_mended(main_job: MainJob) -> None:
    execution = main_job.run("1.3")

    assert [run.has_passed for run in CheckRun.objects.order_by("id")] == [False, True]
    node = node_of(execution, "1.3")
    assert (node["status"], node["attempt"]) == (Node.Status.COMPLETED, 1)


def test_a_rate_limited_story_waits_as_told_and_goes_on(main_job: MainJob) -> None:
    execution = main_job.run("2.1")

    assert node_of(execution, "2.1")["status"] == Node.Status.COMPLETED
    assert node_of(execution, "2.1")["budget_wait"] > 0.9  # told to wait 1 s, measured from when that was read
    assert Event.objects.get(type="swarm:rate-limited").data["pause"] >= 1


def test_the_first_user_message_holds_the_story_file_unchanged(main_job: MainJob) -> None:
    execution = main_job.run("1.1")

    text = (main_job.workspace / node_of(execution, "1.1")["story"]["path"]).read_bytes().decode()
    for request in main_job.model.received:
        assert request.body["messages"][1]["role"] == "user"
        assert text in request.body["messages"][1]["content"]


def test_the_request_carries_the_tools_of_the_contract_and_no_others(main_job: MainJob) -> None:
    main_job.run("1.1")

    tools = {tool["function"]["name"]: tool["function"] for tool in main_job.model.received[0].body["tools"]}
    arguments = {name: set(tool["parameters"]["properties"]) for name, tool in tools.items()}
    assert arguments == {
        "list_files": {"glob"},
        "read_file": {"path", "start_line", "end_line"},
        "search": {"pattern", "glob"},
        "write_file": {"path", "content"},
        "edit_file": {"path", "old_text", "new_text"},
        "delete_file": {"path"},
        "run_checks": set(),
        "complete_task": {"number"},
        "finish": {"summary"},
    }


def test_nothing_of_the_users_checkout_is_touched(main_job: MainJob) -> None:
    def everything() -> dict[str, bytes]:
        git = main_job.workspace / ".git"
        kept = [path for path in main_job.workspace.rglob("*") if path.is_file() and git not in path.parents]
        kept += [git / "HEAD", git / "index", git / "config", git / "refs" / "heads" / "main"]
        return {str(path): path.read_bytes() for path in kept}

    (main_job.workspace / "larder" / "units.py").write_text("# work in progress\n")
    (main_job.workspace / "untracked.txt").write_text("mine\n")
    before = everything()

    execution = main_job.run("1.1", "1.2", "2.3")

    assert execution["progress"]["completed"] == 3
    assert everything() == before
    assert any("larder/units.py" in warning for warning in execution["warnings"])
    refs = set(pygit2.Repository(str(main_job.workspace)).references)
    assert refs == {"refs/heads/main", f"refs/heads/{execution['branch']}"}


def test_git_itself_finds_the_repository_sound_afterwards(main_job: MainJob) -> None:
    main_job.run(*ALL)

    check = subprocess.run(
        ["git", "fsck", "--full", "--strict"], cwd=main_job.workspace, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr


def test_no_lock_is_left_held_at_the_end(main_job: MainJob) -> None:
    main_job.run(*ALL)

    assert FileLock.objects.exists()
    assert not FileLock.objects.filter(node__isnull=False).exists()


def test_all_nodes_work_at_the_same_time(main_job: MainJob) -> None:
    everybody = threading.Barrier(len(ALL))

    def wait_for_everybody(exchange: Exchange) -> None:
        if len(exchange.request.body["messages"]) == 2:
            everybody.wait(timeout=60)
        play(exchange)

    main_job.behaviours = dict.fromkeys(ALL, wait_for_everybody)

    assert main_job.run(*ALL)["progress"]["completed"] == len(ALL)


def test_no_more_developers_work_at_once_than_were_asked_for(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "2.2", "2.3", "3.3", "3.4", developers=2)

    assert execution["progress"]["completed"] == 5
    moments = sorted(
        [(node["started_at"], 1) for node in execution["nodes"]]
        + [(node["finished_at"], -1) for node in execution["nodes"]]
    )  # type: ignore[type-var]
    working = peak = 0
    for _, change in moments:
        working += change
        peak = max(peak, working)
    assert peak == 2
    assert execution["parallelism"]["verified"] is None
    assert "2 developers for 5 stories" in str(execution["parallelism"]["reason"])


def test_stories_start_in_the_plans_order_whichever_thread_comes_first(main_job: MainJob) -> None:
    execution = main_job.run("3.4", "1.3", "2.2", "2.3", developers=1)

    started = sorted(execution["nodes"], key=lambda node: str(node["started_at"]))
    assert [node["name"] for node in started] == [f"developer-{number}" for number in range(1, 5)]


def test_every_second_of_a_node_is_booked(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "1.2", "1.3")

    for node in execution["nodes"]:
        booked = sum(Period.objects.filter(node=node["id"]).values_list("seconds", flat=True))
        assert node["duration"] is not None
        assert booked == pytest.approx(node["duration"], abs=0.25)


def test_events_are_numbered_without_gaps_and_end_with_the_end(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "1.2")

    events = list(Event.objects.after(execution["id"], 0))
    assert [event.seq for event in events] == list(range(1, execution["last_seq"] + 1))
    assert events[0].type == "swarm:started"
    assert (events[-1].type, events[-1].data["status"]) == ("swarm:completed", "completed")
    assert [event.type for event in events].count("swarm:node-completed") == 2


def test_each_turn_is_recorded_with_its_reply_and_the_tools_answers(main_job: MainJob) -> None:
    execution = main_job.run("1.1")

    turns = list(Turn.objects.order_by("number"))
    assert [turn.number for turn in turns] == [1, 2, 3, 4]
    assert all(len(turn.results) == len(turn.reply["tool_calls"]) for turn in turns)
    assert execution["usage"]["calls"] == 4
    assert execution["usage"]["prompt_tokens"] == sum(turn.prompt_tokens for turn in turns) > 0
