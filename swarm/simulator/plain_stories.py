"""Stories made by the dozen: each adds a module of its own to the demo's package, so that none is in another's way."""

from __future__ import annotations

from typing import NamedTuple

EPIC = 4

_DISHES = (
    "pancakes",
    "lentil soup",
    "mushroom risotto",
    "baked potatoes",
    "pea curry",
    "spinach lasagne",
    "bean chilli",
    "leek quiche",
    "noodle salad",
    "pumpkin stew",
    "tomato gratin",
)

_STORY = """\
# Story {epic}.{week}: Plan the dinners of week {week}

Status: ready-for-dev

## Story

As a cook who plans ahead,
I want a menu for week {week},
so that I can shop for all of it at once.

## Acceptance Criteria

1. **Given** the menu of week {week} **When** I look at it **Then** it names seven different dinners.
2. **Given** a day from 1 (Monday) to 7 **When** I ask for its dinner **Then** I get it **And** Monday's is {first}.

## Tasks / Subtasks

- [ ] Task 1: Write down the seven dinners in `{module}` (AC: 1)
- [ ] Task 2: Look them up by day (AC: 2)

## Dev Notes

- Every week has a module of its own.

### Implementation

Create `{module}`:

```python
{code}```

### References

- [Source: README.md#Larder]

## Dev Agent Record

### Agent Model Used

### Debug Log References

### Completion Notes List

### File List
"""

_CODE = '''\
"""The dinners of week {week}."""

DINNERS = (
{dinners})


def dinner(day: int) -> str:
    """Return the dinner of a day, from 1 (Monday) to 7."""
    if not 1 <= day <= len(DINNERS):
        raise ValueError(f"a week has no day {{day}}")
    return DINNERS[day - 1]
'''

_ACCEPTANCE = """\
import unittest

from larder.menus.week_{week} import DINNERS, dinner


class Week{week}(unittest.TestCase):
    def test_there_are_seven_different_dinners(self):
        self.assertEqual((len(DINNERS), len(set(DINNERS))), (7, 7))

    def test_a_dinner_is_found_by_its_day(self):
        self.assertEqual([dinner(day) for day in range(1, 8)], list(DINNERS))
        self.assertEqual(dinner(1), {first!r})
"""


class PlainStory(NamedTuple):
    """A story's key, and the texts of its file and of its acceptance test."""

    key: str
    text: str
    acceptance_test: str


def plain_story(week: int) -> PlainStory:
    """Return the story of one week, from 1 on."""
    dishes = [_DISHES[(week + day * (1 + week % 3)) % len(_DISHES)] for day in range(7)]
    code = _CODE.format(week=week, dinners="".join(f'    "{dish}",\n' for dish in dishes))
    module = f"larder/menus/week_{week}.py"
    return PlainStory(
        key=f"{EPIC}-{week}-plan-the-dinners-of-week-{week}",
        text=_STORY.format(epic=EPIC, week=week, first=dishes[0], module=module, code=code),
        acceptance_test=_ACCEPTANCE.format(week=week, first=dishes[0]),
    )
