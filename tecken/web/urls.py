"""Collection of all pages, in the order of the menu, and the URL table that follows from it."""

from __future__ import annotations

from tecken.web.pages import (
    api_docs,
    config,
    config_history,
    explain,
    health,
    help,
    home,
    jobs,
    maintenance,
    missing,
    store,
    symbolicate,
    tokens,
    uploads,
)

PAGES = (
    home.PAGE,
    symbolicate.PAGE,
    explain.PAGE,
    missing.PAGE,
    uploads.PAGE,
    uploads.FILES_PAGE,
    tokens.PAGE,
    store.PAGE,
    jobs.PAGE,
    config.PAGE,
    config_history.PAGE,
    maintenance.PAGE,
    health.PAGE,
    api_docs.PAGE,
    help.PAGE,
)

urlpatterns = [url for page in PAGES for url in page.urls]
