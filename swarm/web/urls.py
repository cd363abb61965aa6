from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import path
from django.utils.functional import lazy
from django.views.generic import RedirectView

from swarm.web import conflicts, executions, limiter, locks, nodes, reviews, stories
from swarm.web.sign_in import SignInView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="executions"), name="dashboard"),
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("favicon.svg"))),
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("executions/", executions.executions, name="executions"),
    path("executions/new/", executions.new, name="execution-new"),
    path("executions/<uuid:execution_id>/", executions.execution, name="execution"),
    path("executions/<uuid:execution_id>/changes/", executions.changes, name="execution-changes"),
    path("executions/<uuid:execution_id>/cancel/", executions.cancel, name="execution-cancel"),
    path("executions/<uuid:execution_id>/retry/", executions.retry, name="execution-retry"),
    path("executions/<uuid:execution_id>/pause/", executions.pause, name="execution-pause"),
    path("executions/<uuid:execution_id>/resume/", executions.resume, name="execution-resume"),
    path("executions/<uuid:execution_id>/branch/", reviews.branch, name="branch"),
    path("executions/<uuid:execution_id>/merge/", reviews.merge, name="merge"),
    path("nodes/<uuid:node_id>/", nodes.node, name="node"),
    path("nodes/<uuid:node_id>/cancel/", nodes.cancel, name="node-cancel"),
    path("nodes/<uuid:node_id>/retry/", nodes.retry, name="node-retry"),
    path("nodes/<uuid:node_id>/approve/", reviews.approve, name="node-approve"),
    path("nodes/<uuid:node_id>/reject/", reviews.reject, name="node-reject"),
    path("nodes/<uuid:node_id>/revert/", reviews.revert, name="node-revert"),
    path("stories/", stories.stories, name="stories"),
    path("stories/<path:story_id>/", stories.story, name="story"),
    path("drift/", stories.drift, name="drift"),
    path("locks/", locks.locks, name="locks"),
    path("locks/release/", locks.release, name="lock-release"),
    path("locks/<int:lock_id>/break/", locks.break_, name="lock-break"),
    path("conflicts/", conflicts.conflicts, name="conflicts"),
    path("limiter/", limiter.limiter, name="limiter"),
]
