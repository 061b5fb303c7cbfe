"""The URLs of a site whose OIDC_RP_CLIENT_ID is set: settings are read once, and the tests' site has none."""

from __future__ import annotations

from django.urls import include, path

from tecken import urls

handler404, handler500 = urls.handler404, urls.handler500
urlpatterns = [*urls.urlpatterns, path("oidc/", include("mozilla_django_oidc.urls"))]
