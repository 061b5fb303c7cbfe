from __future__ import annotations

from django.urls import path

from tecken.symbolication.api import views

urlpatterns = [
    path("symbolicate/v4", views.v4),
    path("symbolicate/v5", views.v5),
]
