from __future__ import annotations

from django.urls import path

from tecken.upload import direct_views, symupload_views

urlpatterns = [
    path("upload/auth_info/", direct_views.auth_info),
    path("upload/v2/", direct_views.announce),
    path("upload/v2/<int:number>/complete", direct_views.complete),
    path("upload/direct/<str:signed>", direct_views.receive),
    path("upload/sym_upload", symupload_views.send),
    path("upload/sym_upload/", symupload_views.send),
    path("upload/sym_upload/v1/symbols/<str:debug_file>/<str:debug_id>:checkStatus", symupload_views.status),
    path("upload/sym_upload/v1/uploads:create", symupload_views.create),
    path("upload/sym_upload/v1/uploads/<int:number>:complete", symupload_views.complete),
]
