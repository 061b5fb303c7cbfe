"""The pages, and who finds which of them at the top of every other."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser, User

VIEW_UPLOADS = ("upload.upload_symbols", "upload.upload_try_symbols", "upload.view_all_uploads")
OPERATE = ("runtimeconfig.view_option", "runtimeconfig.change_option")


class Entry(NamedTuple):
    """`section` is what the page calls itself; without `permissions` everybody finds it."""

    section: str
    title: str
    path: str
    permissions: tuple[str, ...] = ()
    login: bool = False


ENTRIES = (
    Entry("symbolicate", "Symbolicate", "/symbolicate/"),
    Entry("explain", "Explain", "/explain/"),
    Entry("missing", "Missing", "/missing/"),
    Entry("uploads", "Uploads", "/uploads/", VIEW_UPLOADS),
    Entry("files", "Files", "/files/", VIEW_UPLOADS),
    Entry("tokens", "Tokens", "/tokens/", login=True),
    Entry("store", "Store", "/store/", OPERATE),
    Entry("jobs", "Jobs", "/jobs/", OPERATE),
    Entry("config", "Configuration", "/config/", OPERATE),
    Entry("health", "Health", "/health/"),
    Entry("api", "API", "/api/docs"),
    Entry("help", "Help", "/help/"),
)


def menu(user: User | AnonymousUser) -> list[Entry]:
    return [entry for entry in ENTRIES if _finds(user, entry)]


def _finds(user: User | AnonymousUser, entry: Entry) -> bool:
    if entry.login and not user.is_authenticated:
        return False
    return not entry.permissions or any(map(user.has_perm, entry.permissions))
