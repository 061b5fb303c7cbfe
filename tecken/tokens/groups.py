"""The groups that an installation starts with; what an administrator makes of them later is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

GROUPS = {
    "Uploaders": ("upload.upload_symbols", "upload.upload_try_symbols", "tokens.manage_tokens"),
    "Upload Auditors": ("upload.view_all_uploads", "tokens.manage_tokens"),
}


def make_groups(using: str = "default", **_signal: object) -> None:
    """Runs after each app's migrations; a group is made when the last of its permissions is there."""
    for name, wanted in GROUPS.items():
        if Group.objects.using(using).filter(name=name).exists():
            continue
        found = list(named(wanted, using))
        if len(found) == len(wanted):
            group = Group.objects.using(using).create(name=name)
            group.permissions.set(found)


def named(names: Iterable[str], using: str = "default") -> QuerySet[Permission]:
    """Permissions by `app.codename`; names that nobody knows are left out."""
    either = (Q(content_type__app_label=a, codename=c) for a, c in (n.split(".", 1) for n in names))
    return Permission.objects.using(using).filter(reduce(or_, either))
