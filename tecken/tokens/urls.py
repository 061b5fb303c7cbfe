from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

log_in = LoginView.as_view(template_name="login.html", redirect_authenticated_user=True)
log_out = LogoutView.as_view()

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]
if settings.OIDC_RP_CLIENT_ID:
    urlpatterns.append(path("oidc/", include("mozilla_django_oidc.urls")))
else:
    urlpatterns += [path("login/", log_in, name="login"), path("logout/", log_out, name="logout")]
