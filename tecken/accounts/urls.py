from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from tecken.accounts.login import Login

log_in = Login.as_view()
log_out = LogoutView.as_view()

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]
if settings.OIDC_RP_CLIENT_ID:
    urlpatterns.append(path("oidc/", include("mozilla_django_oidc.urls")))
else:
    urlpatterns += [path("login/", log_in, name="login"), path("logout/", log_out, name="logout")]
