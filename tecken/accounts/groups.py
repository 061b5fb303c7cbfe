"""Groups of a new installation. Later changes by an administrator are kept."""

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
    """Create the groups that do not exist and whose permissions all exist.

    Django calls this after the migrations of each application, so a group is created after those of the last
    application that it has a permission of.
    """
    for name, names in GROUPS.items():
        permissions = list(find_permissions(names, using))
        if len(permissions) == len(names):
            group, is_new = Group.objects.using(using).get_or_create(name=name)
            if is_new:
                group.permissions.set(permissions)


def find_permissions(names: Iterable[str], using: str = "default") -> QuerySet[Permission]:
    """Return permissions by `app.codename`, with their content types. Unknown names are left out."""
    full_name = Concat(F("content_type__app_label"), Value("."), F("codename"))
    permissions = Permission.objects.using(using).select_related("content_type")
    return permissions.alias(full_name=full_name).filter(full_name__in=list(names))
