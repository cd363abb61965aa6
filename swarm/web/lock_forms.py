"""The forms about files: hold one, break a lock, filter the conflict log; `swarm.locks` decides what is allowed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Exists, OuterRef

from swarm.locks.log import WEEK_S, ConflictFilter
from swarm.models import Conflict, Execution
from swarm.templatetags.pages import words

RECENT = 20
MAX_REASON = 500


class HoldForm(forms.Form):
    """A path that a person wants for a while."""

    path = forms.CharField(
        label="File", max_length=4096, strip=False, help_text="Relative to the workspace, such as src/prices.py."
    )
    reason = forms.CharField(
        required=False, max_length=MAX_REASON, label="Reason", help_text="Those who wait for the file see it."
    )
    minutes = forms.FloatField(
        min_value=0.1, max_value=WEEK_S / 60, initial=60, label="For how many minutes",
        help_text="After that the file goes to the next in line by itself.",
    )  # fmt: skip


class BreakForm(forms.Form):
    """Why a lock is taken from its holder; `token` says which lock the reader saw."""

    reason = forms.CharField(
        max_length=MAX_REASON, label="Reason", help_text="Its holder and the log are told.",
        error_messages={"required": "Say why the lock is broken."},
    )  # fmt: skip
    token = forms.IntegerField(min_value=0, max_value=2**63 - 1, widget=forms.HiddenInput)


class FilterForm(forms.Form):
    """Which conflicts the log shows; lives in the address, so that a filtered log can be sent to others."""

    execution = forms.UUIDField(
        required=False, widget=forms.Select, error_messages={"invalid": "There is no such execution."}
    )
    path = forms.CharField(required=False, max_length=4096, label="Path contains")
    story = forms.CharField(required=False, max_length=200, label="Story")
    node = forms.UUIDField(
        required=False, widget=forms.HiddenInput, error_messages={"invalid": "There is no such developer."}
    )
    outcome = forms.ChoiceField(
        required=False, choices=[("", "Any"), *((value, words(value)) for value in Conflict.Outcome.values)],
        error_messages={"invalid_choice": "A wait cannot end as “%(value)s”."},
    )  # fmt: skip
    policy = forms.ChoiceField(
        required=False, label="Conflict policy",
        choices=[("", "Any"), *((value, words(value)) for value in Execution.OnConflict.values)],
        error_messages={"invalid_choice": "There is no conflict policy “%(value)s”."},
    )  # fmt: skip
    longer_than = forms.FloatField(required=False, min_value=0, max_value=WEEK_S, label="Longer than (s)")

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        fought = Execution.objects.filter(Exists(Conflict.objects.filter(execution=OuterRef("pk"))))
        recent = fought.order_by("-created_at")[:RECENT]
        choices = [(str(row.pk), f"{row.short_id}, {row.created_at:%d %b, %H:%M} UTC") for row in recent]
        asked = str(data.get("execution", ""))
        if asked and asked not in dict(choices):
            choices.append((asked, asked[:8]))
        self.fields["execution"].widget.choices = [("", "All"), *choices]

    def chosen(self) -> ConflictFilter:
        """The conditions of a valid form."""
        values = self.cleaned_data
        return ConflictFilter(
            execution=values["execution"],
            node=values["node"],
            story=values["story"],
            path=values["path"],
            outcome=values["outcome"],
            policy=values["policy"],
            longer_than_s=values["longer_than"],
        )
