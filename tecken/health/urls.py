from __future__ import annotations

from django.urls import path
from dockerflow.django.views import lbheartbeat, version

from tecken.health.views import heartbeat

urlpatterns = [
    path("__lbheartbeat__", lbheartbeat),
    path("__heartbeat__", heartbeat),
    path("__version__", version),
]
