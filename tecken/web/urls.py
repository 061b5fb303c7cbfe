"""Collection of all pages, in the order of the menu, and the URL table that follows from it."""

from __future__ import annotations

from tecken.web.pages import (
    add_to_ci,
    api_docs,
    config,
    docs,
    doctor,
    fetched,
    health,
    home,
    jobs,
    minidump,
    missing,
    store,
    symbolicate,
    tokens,
    tour,
    uploads,
    usage,
)

PAGES = (
    home.PAGE,
    symbolicate.PAGE,
    minidump.PAGE,
    missing.EXPLAIN_PAGE,
    missing.PAGE,
    uploads.FILES_PAGE,
    fetched.PAGE,
    uploads.PAGE,
    tokens.PAGE,
    usage.PAGE,
    add_to_ci.PAGE,
    store.PAGE,
    jobs.PAGE,
    config.PAGE,
    config.HISTORY_PAGE,
    config.MAINTENANCE_PAGE,
    health.PAGE,
    doctor.PAGE,
    tour.PAGE,
    docs.PAGE,
    api_docs.PAGE,
)

urlpatterns = [url for page in PAGES for url in page.urls]
