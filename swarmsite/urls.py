from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from swarm.api.health import healthz, readyz
from swarm.api.routes import api

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("healthz", healthz),
    path("readyz", readyz),
    path("", include("swarm.web.urls")),
]
