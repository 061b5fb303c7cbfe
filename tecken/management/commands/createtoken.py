"""Command `createtoken`: create an API token."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import transaction

from tecken.accounts.tokens import find_permissions, issue, permission_name
from tecken.errors import InvalidInput
from tecken.management.command import SiteCommand


class Command(SiteCommand):
    """Creation of a token, and with `--create-user` of its user."""

    help = "Create an API token and print only the token on standard output. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("email", metavar="EMAIL", help="user that the token belongs to")
        parser.add_argument(
            "--permission",
            metavar="APP.NAME",
            dest="permissions",
            action="append",
            required=True,
            help="permission of the token, such as upload.upload_symbols; may be repeated",
        )
        parser.add_argument(
            "--create-user",
            action="store_true",
            help="create the user if it does not exist, and grant it these permissions",
        )
        parser.add_argument(
            "--days", type=float, default=365, help="days until the token expires (default %(default)s)"
        )
        parser.add_argument("--note", default="", help="purpose of the token, in your words")

    @transaction.atomic
    def handle(
        self,
        *,
        email: str,
        permissions: list[str],
        create_user: bool,
        days: float,
        note: str,
        **_options: Any,
    ) -> None:
        """Create the token and print it."""
        granted = _find_permissions(permissions)
        user = _create_user(email, granted) if create_user else find_user(email)
        try:
            _token, key = issue(user, granted, days, note)
        except InvalidInput as error:
            raise CommandError(str(error)) from None
        self.stdout.write(key)


def _find_permissions(names: Sequence[str]) -> list[Permission]:
    found = {
        permission_name(permission): permission
        for permission in find_permissions(name for name in names if "." in name)
    }
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise CommandError(f"There is no permission {', '.join(unknown)}")
    return list(found.values())


def find_user(email: str) -> User:
    """Return the user with an email address. Raises CommandError."""
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        raise CommandError(f"There is no user {email}: createtoken --create-user creates it")
    return user


def _create_user(email: str, permissions: Sequence[Permission]) -> User:
    """Return the user, created if necessary, with the permissions.

    A new user has no password, so it can log in only at the OpenID Connect provider.
    """
    try:
        validate_email(email)
    except ValidationError:
        raise CommandError(f"{email!r} is not an email address") from None
    user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email, email)
    user.user_permissions.add(*permissions)
    return user
