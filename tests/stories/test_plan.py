"""The order in which stories start: dependencies are kept, nothing waits that need not, circles are found and named."""

from __future__ import annotations

import string
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swarm.stories.plan import Candidate, LikelyConflict, Plan, PredictedFile, Reason, make_plan
from swarm.stories.story import StoryStatus

IDS = [f"1.{number}" for number in range(1, 13)]
PATHS = ["a.py", "b.py", "src/c.py"]


def plan_of(
    *ids: str,
    files: Mapping[str, tuple[str, ...]] | None = None,
    developers: int = 64,
    depends_on: Mapping[str, list[str]] | None = None,
    statuses: Mapping[str, StoryStatus] | None = None,
) -> Plan:
    """The plan of stories of which some name `files`."""
    return make_plan(
        [Candidate(story, (files or {}).get(story, ())) for story in ids],
        developers=developers,
        depends_on=depends_on or {},
        statuses=statuses or {},
    )


def sentences(plan: Plan) -> list[str]:
    return [problem.text for problem in plan.problems]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Candidate], dict[str, list[str]]]:
    """Candidates in any order, and dependencies without a circle among them."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    paths = st.lists(st.sampled_from(PATHS), max_size=2, unique=True).map(tuple)
    candidates = [Candidate(story, draw(paths), draw(paths)) for story in ids]
    depends_on = {}
    for number, story in enumerate(draw(st.permutations(ids))):
        earlier = list(depends_on)
        depends_on[story] = draw(st.lists(st.sampled_from(earlier), max_size=3)) if number else []
    return candidates, depends_on


# What is always so


@given(runs(), st.integers(1, 14))
def test_every_story_starts_once_behind_what_it_waits_for_and_no_wave_needs_more_developers(
    run: tuple[list[Candidate], dict[str, list[str]]], developers: int
) -> None:
    candidates, depends_on = run
    plan = make_plan(candidates, developers=developers, depends_on=depends_on, statuses={})
    assert plan.problems == ()
    assert sorted(plan.order) == sorted(candidate.id for candidate in candidates)
    wave_of = {story: number for number, wave in enumerate(plan.waves) for story in wave}
    for story, dependencies in depends_on.items():
        assert all(wave_of[dependency] < wave_of[story] for dependency in dependencies)
    assert all(1 <= len(wave) <= developers for wave in plan.waves)


@given(runs())
def test_with_enough_developers_a_story_waits_for_its_dependencies_and_for_nothing_else(
    run: tuple[list[Candidate], dict[str, list[str]]],
) -> None:
    candidates, depends_on = run
    plan = make_plan(candidates, developers=len(candidates), depends_on=depends_on, statuses={})
    wave_of = {story: number for number, wave in enumerate(plan.waves) for story in wave}
    for story, dependencies in depends_on.items():
        assert wave_of[story] == max((wave_of[dependency] + 1 for dependency in dependencies), default=0)


@given(runs(), st.integers(1, 14))
def test_no_developer_is_idle_while_a_story_could_start(
    run: tuple[list[Candidate], dict[str, list[str]]], developers: int
) -> None:
    candidates, depends_on = run
    plan = make_plan(candidates, developers=developers, depends_on=depends_on, statuses={})
    done: set[str] = set()
    for wave in plan.waves:
        free = [it.id for it in candidates if it.id not in done and done.issuperset(depends_on[it.id])]
        assert len(wave) == min(developers, len(free))
        done.update(wave)


@given(runs(), st.integers(1, 14))
def test_stories_that_want_the_same_file_start_together_only_if_no_other_could(
    run: tuple[list[Candidate], dict[str, list[str]]], developers: int
) -> None:
    candidates, depends_on = run
    plan = make_plan(candidates, developers=developers, depends_on=depends_on, statuses={})
    paths = {story: {file.path for file in files} for story, files in plan.files.items()}
    done: set[str] = set()
    for wave in plan.waves:
        touched = set().union(*(paths[story] for story in wave))
        if sum(len(paths[story]) for story in wave) > len(touched):
            left = [it for it in paths if it not in done and it not in wave and done.issuperset(depends_on[it])]
            assert all(paths[story] & touched for story in left)
        done.update(wave)


@given(runs(), st.integers(1, 14))
def test_a_plan_made_again_from_its_own_order_is_the_same(
    run: tuple[list[Candidate], dict[str, list[str]]], developers: int
) -> None:
    candidates, depends_on = run
    plan = make_plan(candidates, developers=developers, depends_on=depends_on, statuses={})
    again = sorted(candidates, key=lambda candidate: plan.order.index(candidate.id))
    assert make_plan(again, developers=developers, depends_on=depends_on, statuses={}).waves == plan.waves


@given(runs(), st.data())
def test_a_circle_is_always_found_and_named_whole(
    run: tuple[list[Candidate], dict[str, list[str]]], data: st.DataObject
) -> None:
    candidates, depends_on = run
    assume(len(candidates) > 1)
    circle = data.draw(st.lists(st.sampled_from([it.id for it in candidates]), min_size=2, unique=True))
    for story, dependency in pairwise([*circle, circle[0]]):
        depends_on[story] = [*depends_on[story], dependency]
    plan = make_plan(candidates, developers=3, depends_on=depends_on, statuses={})
    assert plan.waves == ()
    [problem] = plan.problems
    assert problem.stories[0] == problem.stories[-1]
    assert len(problem.stories) > 2
    assert all(dependency in depends_on[story] for story, dependency in pairwise(problem.stories))
    assert " → ".join(problem.stories) in problem.text


@given(st.lists(st.tuples(st.sampled_from(string.ascii_lowercase[:5]), st.sampled_from(string.ascii_lowercase[:5]))))
def test_whatever_is_given_there_is_either_a_whole_order_or_a_reason(edges: list[tuple[str, str]]) -> None:
    depends_on: dict[str, list[str]] = {}
    for story, dependency in edges:
        depends_on.setdefault(story, []).append(dependency)
    plan = plan_of("a", "b", "c", depends_on=depends_on)
    assert bool(plan.problems) != (sorted(plan.order) == ["a", "b", "c"])


# The order


def test_without_dependencies_all_start_at_once_in_the_order_asked_for() -> None:
    assert plan_of("1.2", "1.1", "3.1").waves == (("1.2", "1.1", "3.1"),)


def test_a_likely_conflict_makes_nobody_wait_while_there_are_developers() -> None:
    files = dict.fromkeys(("1.1", "1.2", "1.3"), ("a.py",))
    assert plan_of("1.1", "1.2", "1.3", files=files).waves == (("1.1", "1.2", "1.3"),)


def test_with_fewer_developers_stories_of_one_file_start_apart() -> None:
    files = {"1.1": ("a.py",), "1.2": ("a.py",), "1.3": ("b.py",), "1.4": ("b.py",)}
    assert plan_of("1.1", "1.2", "1.3", "1.4", files=files, developers=2).waves == (("1.1", "1.3"), ("1.2", "1.4"))


def test_the_longest_chain_goes_first_where_not_all_can_start() -> None:
    chain = {"1.4": ["1.3"], "1.5": ["1.4"]}
    plan = plan_of("1.1", "1.2", "1.3", "1.4", "1.5", developers=1, depends_on=chain)
    assert plan.order == ("1.3", "1.4", "1.1", "1.2", "1.5")


def test_a_dependency_that_is_named_twice_counts_once() -> None:
    assert plan_of("1.1", "1.2", depends_on={"1.2": ["1.1", "1.1"]}).waits_for == {"1.1": (), "1.2": ("1.1",)}


@pytest.mark.parametrize("count", [0, -1])
def test_a_run_needs_a_developer(count: int) -> None:
    with pytest.raises(ValueError, match="at least one developer"):
        plan_of("1.1", developers=count)


# Dependencies outside the run, and those that cannot be kept


@pytest.mark.parametrize("status", StoryStatus)
def test_a_dependency_outside_the_run_must_be_done(status: StoryStatus) -> None:
    plan = plan_of("1.2", depends_on={"1.2": ["1.1"]}, statuses={"1.1": status, "1.2": StoryStatus.READY})
    if status in (StoryStatus.DONE, StoryStatus.REVIEW):
        assert (plan.waves, plan.waits_for["1.2"]) == ((("1.2",),), ())
    else:
        expected = f"Story 1.2 is to wait for story 1.1, which is not part of the run and not done ({status})."
        assert sentences(plan) == [f"{expected} Run it too, or leave the dependency out."]


def test_every_dependency_that_cannot_be_kept_is_told() -> None:
    plan = plan_of("1.1", "1.2", depends_on={"1.1": ["1.1", "9.9"], "7.7": ["1.1"], "1.2": ["1.1"]})
    assert sentences(plan) == [
        "Dependencies were given for story 7.7, which is not part of the run.",
        "Story 1.1 cannot wait for itself.",
        "Story 1.1 is to wait for story 9.9, which does not exist.",
    ]
    assert [problem.stories for problem in plan.problems] == [("7.7",), ("1.1",), ("1.1",)]
    assert plan.order == ()


def test_a_circle_is_told_from_who_waits_to_what_it_waits_for() -> None:
    plan = plan_of("a", "b", "c", depends_on={"a": ["b"], "b": ["c"], "c": ["a"]})
    [sentence] = sentences(plan)
    assert sentence.startswith("These stories wait for each other in a circle: a → b → c → a.")


# Files


def test_files_are_predicted_from_the_text_and_from_past_conflicts() -> None:
    candidate = Candidate("1.1", footprint=("a.py", "b.py"), past_conflicts=("b.py", "c.py"))
    plan = make_plan([candidate], developers=1, depends_on={}, statuses={})
    assert plan.files["1.1"] == (
        PredictedFile("a.py", Reason.FOOTPRINT),
        PredictedFile("b.py", Reason.PAST_CONFLICT),
        PredictedFile("c.py", Reason.PAST_CONFLICT),
    )
    assert plan.likely_conflicts == ()


def test_a_file_that_several_stories_will_touch_is_told_with_all_of_them_and_the_stronger_reason() -> None:
    candidates = [
        Candidate("1.1", footprint=("a.py", "Src/B.py")),
        Candidate("1.2", footprint=("src/b.py",)),
        Candidate("1.3", past_conflicts=("a.py",)),
    ]
    plan = make_plan(candidates, developers=3, depends_on={}, statuses={})
    assert plan.likely_conflicts == (
        LikelyConflict("a.py", ("1.1", "1.3"), Reason.PAST_CONFLICT),
        LikelyConflict("Src/B.py", ("1.1", "1.2"), Reason.FOOTPRINT),
    )


def test_problems_with_dependencies_leave_the_files_known() -> None:
    plan = plan_of("1.1", "1.2", files={"1.1": ("a.py",), "1.2": ("a.py",)}, depends_on={"1.1": ["1.1"]})
    assert plan.likely_conflicts[0].stories == ("1.1", "1.2")


def test_thousands_of_stories_on_one_file_stay_one_line_and_are_ordered() -> None:
    ids = [str(number) for number in range(3000)]
    chain = {later: [earlier] for earlier, later in pairwise(ids)}
    plan = plan_of(*ids, files=dict.fromkeys(ids, ("a.py",)), developers=8, depends_on=chain)
    assert plan.order == tuple(ids)
    assert len(plan.likely_conflicts) == 1
