from __future__ import annotations

from django.urls import path

from tecken.upload.protocols import direct, sym_upload

urlpatterns = [
    path("upload/auth_info/", direct.auth_info),
    path("upload/v2/", direct.announce),
    path("upload/v2/<int:number>/complete", direct.complete),
    path("upload/direct/<str:signed>", direct.receive),
    path("upload/sym_upload", sym_upload.send),
    path("upload/sym_upload/", sym_upload.send),
    path("upload/sym_upload/v1/symbols/<str:debug_file>/<str:debug_id>:checkStatus", sym_upload.status),
    path("upload/sym_upload/v1/uploads:create", sym_upload.create),
    path("upload/sym_upload/v1/uploads/<int:number>:complete", sym_upload.complete),
]
