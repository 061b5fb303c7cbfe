"""Site with content on every page, and the users who visit it."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken.accounts.models import Token
from tecken.accounts.tokens import GROUPS, find_permissions
from tecken.jobs.records import DeadLetter, records
from tecken.runtimeconfig import current
from tecken.runtimeconfig.models import Version
from tecken.storage.models import FetchedModule
from tecken.upload.models import Upload
from tecken.web.urls import urlpatterns

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


def create_people() -> dict[str, User]:
    """Create all users at once: every test of a page has them."""
    users = {who: User(password=make_password(None)) for who in (*PEOPLE, "superuser")}
    for who, user in users.items():
        user.username = user.email = f"{who}@example.com"
        user.is_staff = user.is_superuser = who == "superuser"
    User.objects.bulk_create(users.values())
    by_name = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in find_permissions({name for names in PEOPLE.values() for name in names})
    }
    granted = User.user_permissions.through
    granted.objects.bulk_create(
        granted(user=users[who], permission=by_name[name]) for who, names in PEOPLE.items() for name in names
    )
    return users


def comes(client: Client, who: str) -> None:
    client.logout()
    if who != "nobody":
        client.force_login(User.objects.get(username=f"{who}@example.com"))
