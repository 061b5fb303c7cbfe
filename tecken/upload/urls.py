from __future__ import annotations

from django.urls import path

from tecken.upload import views

# Without its slash it is no redirect, which would make a POST a GET.
urlpatterns = [path("upload/", views.upload_archive), path("upload", views.upload_archive)]
