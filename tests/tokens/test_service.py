from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from tecken.tokens.service import allowed, find, issue


@pytest.mark.django_db
def test_a_key_finds_its_token_and_is_kept_nowhere() -> None:
    user = User.objects.create_user("build@example.com")
    permission = Permission.objects.get(codename="manage_tokens")
    user.user_permissions.add(permission)
    token, key = issue(user, [permission], days=1)
    assert find(f"{key}-the build machine") == token
    assert allowed(find(key)) == {"tokens.manage_tokens"}
    assert key not in vars(token).values()
