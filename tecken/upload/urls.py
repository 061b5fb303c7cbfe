from __future__ import annotations

from django.urls import path

from tecken.upload.protocols import archive

# Without its slash it is no redirect, which would make a POST a GET.
urlpatterns = [path("upload/", archive.upload_archive), path("upload", archive.upload_archive)]
