"""The forms: they read what a person typed; what is allowed is decided by the engine."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from django import forms
from django.conf import settings

from swarm.engine.lifecycle import DEFAULT_MAX_ATTEMPTS, StartRequest
from swarm.engine.planning import read_dependencies
from swarm.models import Execution
from swarm.stories.catalogue import Catalogue

LARGEST = 2**31 - 1
"""The database's limit for a whole number."""

POLICIES = {
    Execution.OnConflict.WAIT: ("Wait", "The developer waits in line until the file is free."),
    Execution.OnConflict.NOTIFY: ("Notify", "The developer is told, goes on with something else and tries again."),
}


def dependency_value(story_id: str, other_id: str) -> str:
    """What the box sends that makes one story wait for the other."""
    return f"{story_id}:{other_id}"


class StartForm(forms.Form):
    """Which stories, by how many developers, under which limits."""

    stories = forms.MultipleChoiceField(
        error_messages={
            "required": "Tick at least one story.",
            "invalid_choice": "Story %(value)s is not in the backlog any more; it may have been renamed or removed.",
        }
    )
    depends_on = forms.MultipleChoiceField(
        required=False, label="Dependencies",
        error_messages={"invalid_choice": "The dependency %(value)s is not named in the story's file any more."},
    )  # fmt: skip
    developers = forms.IntegerField(
        required=False, min_value=1, max_value=LARGEST, label="Developers",
        help_text="Stories worked on at the same time. Empty: one developer for each story.",
    )  # fmt: skip
    on_conflict = forms.ChoiceField(
        label="Conflict policy",
        choices=[(value, label) for value, (label, _) in POLICIES.items()],
        initial=Execution.OnConflict.WAIT,
    )
    recheck = forms.BooleanField(
        required=False, initial=True, label="Check again on top of other stories",
        help_text="Where files that a story read have changed meanwhile, its checks run once more before its commit.",
    )  # fmt: skip
    max_attempts = forms.IntegerField(
        min_value=1, max_value=100, label="Attempts per story", initial=DEFAULT_MAX_ATTEMPTS,
        help_text="A story that fails for a passing reason is tried again, up to this often.",
    )  # fmt: skip
    timeout_min = forms.FloatField(
        min_value=0.1, max_value=7 * 24 * 60, label="Time limit per story, in minutes",
        help_text="Waiting for files and for the model counts too.",
    )  # fmt: skip
    token_budget = forms.IntegerField(
        required=False, min_value=1, max_value=LARGEST, label="Token budget",
        help_text="For the whole execution. Empty: no limit.",
    )  # fmt: skip
    node_token_budget = forms.IntegerField(
        required=False, min_value=1, max_value=LARGEST, label="Token budget per story",
        help_text="For each story, all its attempts together. Empty: no limit.",
    )  # fmt: skip
    form_id = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, catalogue: Catalogue) -> None:
        super().__init__(
            data,
            initial={
                "stories": [story.id for story in catalogue.ready()],
                "timeout_min": f"{settings.SWARM_NODE_TIMEOUT / 60:g}",
                "form_id": uuid.uuid4(),
            },
        )
        self.fields["stories"].choices = [(story.id, story.title) for story in catalogue.stories]  # type: ignore[attr-defined]
        self.fields["depends_on"].choices = [  # type: ignore[attr-defined]
            (dependency_value(story.id, it.story_id), it.story_id)
            for story in catalogue.stories
            for it in story.dependencies
        ]
        for name in self.errors if self.is_bound else ():
            if name in self.fields:
                self.fields[name].widget.attrs["aria-invalid"] = "true"

    @property
    def ticked(self) -> list[str]:
        """The ids of the stories that show a tick: as proposed at first, as typed afterwards."""
        return list(self["stories"].value() or [])

    @property
    def ticked_dependencies(self) -> list[str]:
        """The same of the dependencies."""
        return list(self["depends_on"].value() or [])

    def dependencies(self) -> dict[str, list[str]]:
        """The ticked dependencies of the ticked stories. Raises `UnusableDependencies`."""
        ticked = self.ticked
        found = read_dependencies(self.ticked_dependencies)
        return {story: others for story, others in found.items() if story in ticked}

    def request(self) -> StartRequest:
        """What a valid form asks for."""
        values = self.cleaned_data
        return StartRequest(
            stories=values["stories"],
            depends_on=self.dependencies(),
            developers=values["developers"],
            max_attempts=values["max_attempts"],
            on_conflict=values["on_conflict"],
            recheck=values["recheck"],
            node_timeout=values["timeout_min"] * 60,
            token_budget=values["token_budget"],
            node_token_budget=values["node_token_budget"],
        )

    def idempotency_key(self) -> str | None:
        """The same for a second click on the same form, another one once something else was typed into it."""
        values = self.cleaned_data
        if values["form_id"] is None:
            return None
        content = json.dumps(values, default=str, sort_keys=True)
        return f"form-{hashlib.sha256(content.encode()).hexdigest()}"


class CommentForm(forms.Form):
    """What a reviewer says."""

    comment = forms.CharField(required=False, max_length=10_000)


class MergeForm(forms.Form):
    """Into which branch."""

    into = forms.CharField(max_length=500, strip=False, error_messages={"required": "Choose a branch."})
