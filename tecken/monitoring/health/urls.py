"""URLs of the health endpoints."""

from __future__ import annotations

from django.urls import path
from dockerflow.django.views import lbheartbeat, version

from tecken.monitoring.health import views

urlpatterns = [
    path("__lbheartbeat__", lbheartbeat),
    path("__heartbeat__", views.heartbeat),
    path("__version__", version),
    path("health", views.health),
    path("health/live", views.live),
    path("health/ready", views.ready),
    path("admin/health/redis", views.redis),
    path("metrics", views.exposition),
]
