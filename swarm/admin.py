"""The admin: looks into what was recorded. History is read-only; locks can be broken.

Every list fetches what it shows in one query, whatever its length.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from swarm.errors import SwarmError
from swarm.locks.people import break_lock
from swarm.models import ApiToken, Call, CheckRun, Conflict, Event, Execution, FileLock, Node, Turn

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin

NOTHING = "–"

admin.site.site_header = "Swarm administration"
admin.site.site_title = "Swarm"


class RecordAdmin(AnyModelAdmin):
    """Rows that the engine writes: to be found and read, not to be made, changed or deleted by hand."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False


def _change_link(row: Model | None) -> SafeString | str:
    """A link to a row's own admin page."""
    if row is None:
        return NOTHING
    name = f"admin:swarm_{row._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[row.pk]), row)


@admin.display(description="execution", ordering="execution__created_at")
def execution_link(row: Node | Event | Conflict) -> SafeString | str:
    return _change_link(row.execution)


@admin.display(description="node")
def node_link(row: Turn | Call | CheckRun | Event | Conflict | FileLock) -> SafeString | str:
    return _change_link(row.node)


@admin.register(Execution)
class ExecutionAdmin(RecordAdmin):
    list_display = ["short_id", "status", "stories", "created_by", "created_at", "duration", "page"]
    list_filter = ["status", "created_at", "on_conflict", "created_by"]
    list_select_related = ["created_by"]
    search_fields = ["id", "branch", "nodes__story_id", "nodes__story_title"]
    date_hierarchy = "created_at"
    readonly_fields = ["page", "nodes_link"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        statuses = Prefetch("nodes", Node.objects.only("execution_id", "status"))
        queryset: QuerySet[Execution] = super().get_queryset(request).prefetch_related(statuses)
        return queryset

    @admin.display(description="stories")
    def stories(self, row: Execution) -> str:
        statuses = Counter(node.status for node in row.nodes.all())
        return f"{statuses['completed']} of {statuses.total()} done, {statuses['failed']} failed"

    @admin.display(description="page")
    def page(self, row: Execution) -> SafeString:
        return format_html('<a href="{}">open</a>', reverse("execution", args=[row.pk]))

    @admin.display(description="nodes")
    def nodes_link(self, row: Execution) -> SafeString:
        return format_html(
            '<a href="{}?execution__id__exact={}">its nodes</a>', reverse("admin:swarm_node_changelist"), row.pk
        )


@admin.register(Node)
class NodeAdmin(RecordAdmin):
    list_display = [
        "name",
        "story_id",
        "status",
        "error_code",
        execution_link,
        "page",
        "attempt",
        "finished_at",
        "duration",
    ]
    list_filter = ["status", "error_code", "error_retryable", "activity", "finished_at"]
    list_select_related = ["execution"]
    search_fields = ["story_id", "story_title", "error_code", "error_message", "=execution__id"]
    date_hierarchy = "finished_at"
    readonly_fields = ["page", "turns_link"]

    @admin.display(description="page")
    def page(self, row: Node) -> SafeString:
        return format_html('<a href="{}">open</a>', reverse("node", args=[row.pk]))

    @admin.display(description="turns")
    def turns_link(self, row: Node) -> SafeString:
        return format_html(
            '<a href="{}?node__id__exact={}">its turns</a>', reverse("admin:swarm_turn_changelist"), row.pk
        )


@admin.register(FileLock)
class FileLockAdmin(RecordAdmin):
    list_display = ["path", node_link, "user", "reason", "token", "locked_at", "expires_at"]
    list_filter = [("node", admin.EmptyFieldListFilter), ("user", admin.EmptyFieldListFilter), "locked_at"]
    list_select_related = ["node", "user"]
    search_fields = ["path", "reason"]
    actions = ["break_locks"]

    def has_break_lock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("swarm.break_lock")

    @admin.action(permissions=["break_lock"], description="Break the selected locks…")
    def break_locks(self, request: HttpRequest, rows: QuerySet[FileLock]) -> HttpResponse | None:
        """Ask for a reason first; then take each selected path that is held from its holder."""
        held = list(rows.held(now()).select_related("node", "user"))  # type: ignore[attr-defined]
        reason = request.POST.get("reason", "")[:500]
        if "reason" not in request.POST and held:
            context = {
                **self.admin_site.each_context(request),
                "title": "Break locks",
                "locks": held,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/swarm/filelock/break_locks.html", context)
        for lock in held:
            try:
                break_lock(cast(User, request.user), lock.path, reason=reason)
            except SwarmError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, lock, f"Broke the lock of {lock.holder}: {reason}")
                self.message_user(request, f"The lock of {lock.holder} on {lock.path} is broken.")
        if not held:
            self.message_user(request, "None of the selected files is held.", messages.WARNING)
        return None


@admin.register(Conflict)
class ConflictAdmin(RecordAdmin):
    list_display = ["path", node_link, "held_by", "policy", "outcome", "waited", "asked_at", execution_link]
    list_filter = ["outcome", "policy", "asked_at"]
    list_select_related = ["node", "execution"]
    search_fields = ["path", "held_by", "node__story_id", "=execution__id"]
    date_hierarchy = "asked_at"


@admin.register(Event)
class EventAdmin(RecordAdmin):
    list_display = ["at", "type", "seq", node_link, execution_link]
    list_filter = ["type", "at"]
    list_select_related = ["node", "execution"]
    search_fields = ["type", "=execution__id", "=node__id"]
    date_hierarchy = "at"


@admin.register(Turn)
class TurnAdmin(RecordAdmin):
    list_display = ["__str__", node_link, "prompt_tokens", "completion_tokens", "queued_s", "upstream_s", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["node"]
    search_fields = ["=node__id", "node__story_id"]
    date_hierarchy = "created_at"


@admin.register(Call)
class CallAdmin(RecordAdmin):
    list_display = [
        "__str__", node_link, "model", "outcome", "queued_s", "upstream_s", "prompt_tokens", "completion_tokens",
        "retries", "rate_limited_count", "cost", "started_at",
    ]  # fmt: skip
    list_filter = ["outcome", "model", "started_at"]
    list_select_related = ["node"]
    search_fields = ["=node__id", "=node__execution__id", "node__story_id", "outcome"]
    date_hierarchy = "started_at"


@admin.register(CheckRun)
class CheckRunAdmin(RecordAdmin):
    list_display = ["__str__", node_link, "attempt", "exit_status", "seconds", "created_at"]
    list_filter = ["exit_status", "created_at"]
    list_select_related = ["node"]
    search_fields = ["=node__id", "node__story_id", "output"]
    date_hierarchy = "created_at"


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    """Tokens are made by `manage.py api_token`, which alone can show them; here they can be revoked."""

    list_display = ["user", "created_at"]
    list_filter = ["user", "created_at"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    exclude = ["digest"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)
