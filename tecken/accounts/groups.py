"""The groups that an installation starts with; what an administrator makes of them later is left alone."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group, Permission
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat

GROUPS = {
    "Uploaders": ("upload.upload_symbols", "upload.upload_try_symbols", "tokens.manage_tokens"),
    "Upload Auditors": ("upload.view_all_uploads", "tokens.manage_tokens"),
    "Operators": ("runtimeconfig.change_option", "runtimeconfig.view_option", "tokens.manage_tokens"),
}


def make_groups(using: str = "default", **_signal: object) -> None:
    """Runs after each app's migrations; a group is made when the last of its permissions is there."""
    for name, wanted in GROUPS.items():
        found = list(named(wanted, using))
        if len(found) == len(wanted):
            group, made = Group.objects.using(using).get_or_create(name=name)
            if made:
                group.permissions.set(found)


def named(names: Iterable[str], using: str = "default") -> QuerySet[Permission]:
    """Permissions by `app.codename`, with their content types; names that nobody knows are left out."""
    spelling = Concat(F("content_type__app_label"), Value("."), F("codename"))
    every = Permission.objects.using(using).select_related("content_type")
    return every.alias(spelling=spelling).filter(spelling__in=list(names))
