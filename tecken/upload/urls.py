from __future__ import annotations

from django.urls import path

from tecken.upload import views

urlpatterns = [path("upload/", views.upload_archive)]
