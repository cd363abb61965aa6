"""How pages write durations, instants, numbers and states, so that all of them write these alike.

`static/js/clock.js` goes on counting in the same words.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from swarm.models import Event
from swarm.web.sentences import sentence

register = template.Library()

NOTHING = "–"

STATUS_ICONS = {
    "pending": "clock",
    "running": "play",
    "completed": "check",
    "partial": "half",
    "failed": "cross",
    "cancelled": "stop",
}
ACTIVITY_ICONS = {
    "idle": "clock",
    "thinking": "thought",
    "using_tool": "tool",
    "waiting_for_lock": "lock",
    "waiting_for_budget": "hourglass",
    "checking": "flask",
    "integrating": "merge",
}


REVIEW_LOOKS = {"approved": ("completed", "check"), "rejected": ("partial", "retry"), "reverted": ("cancelled", "stop")}
"""For each decision of a reviewer, the status whose colour it has, and its symbol."""


@register.simple_tag
def icon(name: str) -> SafeString:
    """A symbol of `static/icons.svg`; always beside a word, so hidden from screen readers."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons.svg"),
        name,
    )


@register.simple_tag
def status_badge(status: str) -> SafeString:
    """A status as shape, word and colour."""
    symbol = icon(STATUS_ICONS.get(status, "clock"))
    return format_html('<span class="badge" data-status="{}">{}{}</span>', status, symbol, words(status))


OUTCOMES = {
    "waiting": ("waiting", "hourglass"),
    "granted": ("completed", "check"),
    "holder_expired": ("completed", "check"),
    "timed_out": ("failed", "cross"),
    "deadlock": ("failed", "cross"),
}
"""The status that a conflict's outcome looks like, and its shape; all others are news that nobody must act on."""


@register.simple_tag
def outcome_badge(outcome: str) -> SafeString:
    """How a wait for a file ended, as shape, word and colour."""
    status, symbol = OUTCOMES.get(outcome, ("pending", "info"))
    return format_html('<span class="badge" data-status="{}">{}{}</span>', status, icon(symbol), words(outcome))


@register.simple_tag
def review_badge(decision: str) -> SafeString:
    """What a reviewer decided, as shape, word and colour."""
    status, symbol = REVIEW_LOOKS[decision]
    return format_html('<span class="badge" data-status="{}">{}{}</span>', status, icon(symbol), words(decision))


@register.simple_tag
def activity_icon(activity: str) -> SafeString:
    return icon(ACTIVITY_ICONS.get(activity, "clock"))


@register.filter
def words(code: str) -> str:
    """`waiting_for_lock` as "Waiting for lock", `ready-for-dev` as "Ready for dev"."""
    return str(code).replace("_", " ").replace("-", " ").capitalize()


@register.filter
def is_short(text: str) -> bool:
    """Whether a text fits on one line beside its name."""
    return len(text) <= 100 and "\n" not in text


@register.filter
def duration(value: float | timedelta | None) -> str:
    """Seconds as "4.2 s", "42 s", "3 min 05 s" or "2 h 07 min"."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return f"{seconds:.1f} s" if seconds < 9.95 else clock(seconds)


@register.filter
def clock(value: float | timedelta) -> str:
    """Seconds without a fraction, for what keeps counting on the page."""
    seconds = round(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


@register.filter
def number(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@register.filter
def price(value: float) -> str:
    """Money, in the unit of SWARM_PRICES."""
    return "< 0.0001" if 0 < value < 0.0001 else f"{value:,.4f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@register.filter
def times(value: float | None) -> str:
    """A ratio as "1.08 ×"."""
    return NOTHING if value is None else f"{value:.2f} ×"


@register.filter(name="sentence")
def event_sentence(event: Event) -> str:
    return sentence(event.type, event.data)


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """An instant as people say it, with the exact one on hover."""
    if at is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', at.isoformat(), f"{at:%d %b %Y, %H:%M:%S} UTC", ago(at)
    )


@register.simple_tag
def until(at: datetime) -> SafeString:
    """An instant to come as the time that is left, with the exact one on hover."""
    return format_html(
        '<time datetime="{}" title="{}" data-until>{}</time>', at.isoformat(), f"{at:%d %b %Y, %H:%M:%S} UTC", left(at)
    )


def left(at: datetime) -> str:
    return f"{clock(max(0.0, (at - now()).total_seconds()))} left"


def ago(at: datetime) -> str:
    seconds = max(0, int((now() - at).total_seconds()))
    if seconds < 10:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
