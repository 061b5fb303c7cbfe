"""Site with content on every page, and the users who visit it."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken.accounts.models import Token
from tecken.accounts.tokens import GROUPS
from tecken.jobs.records import DeadLetter, records
from tecken.runtimeconfig import current
from tecken.runtimeconfig.models import Version
from tecken.storage.models import FetchedModule
from tecken.upload.models import Upload
from tecken.web.urls import urlpatterns
from tests.web.api.people import person

NAMES = sorted({pattern.name for pattern in urlpatterns if pattern.name})
PEOPLE: dict[str, tuple[str, ...]] = {
    "newcomer": (),
    "owner": GROUPS["Uploaders"],
    "other": GROUPS["Uploaders"],
    "auditor": GROUPS["Upload Auditors"],
    "viewer": ("runtimeconfig.view_option",),
    "operator": GROUPS["Operators"],
}
"""Users and their permissions, beside the anonymous one and the superuser."""
MODULE = {"debug_file": "xul.pdb", "debug_id": "44E4EC8C2F41492B9369D6B9A059577C2"}
STACK = "{debug_file} {debug_id} 0x10".format(**MODULE)
ARCHIVE_OF_OWNER, NOTES_OF_OWNER = "archive-of-owner.zip", "notes-of-owner"
EXCEPTION = "upload 9 GiB/day per user 1"
FETCHED = 1
"""Number of the module of an upstream."""
DEAD = DeadLetter("dead-job", "tecken.jobs.tasks.heartbeat", "default", "it is dead", 1.0, args=[])


class Everything(NamedTuple):
    """The numbers of the owner and of what it has, names of a shared text and a result, and sent jobs."""

    owner: int
    upload: int
    token: int
    shared: str
    minidump: str
    jobs: list[object]

    def path(self, name: str) -> str:
        known: dict[str, dict[str, object]] = {
            "shared": {"name": self.shared},
            "minidump": {"name": self.minidump},
            "explained": {**MODULE},
            "upload": {"number": self.upload},
            "token": {"number": self.token},
            "usage-token": {"number": self.token},
            "usage-user": {"number": self.owner},
            "job": {"number": DEAD.id},
            "help-topic": {"name": "upload"},
            "config-version": {"number": 1},
        }
        return reverse(name, kwargs=known.get(name, {}))

    def state(self) -> object:
        """Return everything that a form can change."""
        return (
            list(Token.objects.order_by("pk").values("pk", "user", "expires_at", "permissions")),
            list(Upload.objects.order_by("pk").values("pk", "cancelled_at", "filename")),
            list(FetchedModule.objects.values_list("pk", flat=True)),
            list(Version.objects.values_list("number", flat=True)),
            current.backend().head(),
            records().letters(),
            list(self.jobs),
        )


def user_of(who: str) -> User:
    email = f"{who}@example.com"
    if who == "superuser":
        return User.objects.create_superuser(email, email)
    return person(email, *PEOPLE[who])


def comes(client: Client, who: str) -> None:
    client.logout()
    if who != "nobody":
        client.force_login(User.objects.get(username=f"{who}@example.com"))
