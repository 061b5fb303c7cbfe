"""Users with permissions, and keys of theirs."""

from __future__ import annotations

from django.contrib.auth.models import User

from tecken.accounts.tokens import find_permissions, issue


def person(email: str, *permissions: str) -> User:
    user = User.objects.create_user(email, email)
    if permissions:
        user.user_permissions.set(find_permissions(permissions))
    return User.objects.get(pk=user.pk)  # without a cache of permissions


def key_of(user: User, *permissions: str) -> str:
    """Of a token with these permissions, else with all of its owner's."""
    wanted = find_permissions(permissions or user.get_all_permissions())
    return issue(user, list(wanted), days=30)[1]
