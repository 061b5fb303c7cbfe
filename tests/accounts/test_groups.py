from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from tecken.accounts.tokens import permission_name

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("name", "permissions"),
    [
        ("Uploaders", {"upload.upload_symbols", "upload.upload_try_symbols", "tokens.manage_tokens"}),
        ("Source Readers", {"storage.view_sources", "tokens.manage_tokens"}),
        ("Upload Auditors", {"upload.view_all_uploads", "tokens.manage_tokens"}),
        (
            "Operators",
            {
                *("runtimeconfig.change_option", "runtimeconfig.view_option"),
                *("limits.view_usage", "tokens.manage_tokens"),
            },
        ),
    ],
)
def test_new_installation_has_four_groups(name: str, permissions: set[str]) -> None:
    assert set(map(permission_name, Group.objects.get(name=name).permissions.all())) == permissions


def test_make_groups_again_keeps_changes_of_an_administrator() -> None:
    group = Group.objects.get(name="Uploaders")
    group.permissions.clear()
    call_command("migrate", verbosity=0)
    assert not group.permissions.exists()
