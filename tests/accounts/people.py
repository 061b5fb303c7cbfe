"""Users and tokens for tests, here and elsewhere."""

from __future__ import annotations

from django.contrib.auth.models import User

from tecken.accounts.tokens import find_permissions, issue


def user(*permissions: str, email: str = "ada@example.com") -> User:
    made, _new = User.objects.get_or_create(username=email, email=email)
    made.user_permissions.add(*find_permissions(permissions))
    return User.objects.get(pk=made.pk)  # one that remembers no permissions


def key(*permissions: str, email: str = "ada@example.com", days: float = 1) -> str:
    _token, made = issue(user(*permissions, email=email), list(find_permissions(permissions)), days)
    return made
