from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import transaction

from tecken.accounts.groups import named
from tecken.accounts.tokens import issue, spelt
from tecken.errors import BadInput


class Command(BaseCommand):
    help = "Make an API token and print it, and nothing else, on standard output. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="whose token it will be")
        parser.add_argument(
            "--permission",
            metavar="APP.NAME",
            dest="permissions",
            action="append",
            required=True,
            help="what it is for, as upload.upload_symbols; may be given more than once",
        )
        parser.add_argument(
            "--create-user",
            action="store_true",
            help="make the user when there is none, and give the user these permissions",
        )
        parser.add_argument(
            "--days", type=float, default=365, help="how long it can be used (default %(default)s)"
        )
        parser.add_argument("--note", default="", help="what it is for, in your words")

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
        wanted = _permissions(permissions)
        user = _made(email, wanted) if create_user else _user(email)
        try:
            _token, key = issue(user, wanted, days, note)
        except BadInput as error:
            raise CommandError(str(error)) from None
        self.stdout.write(key)


def _permissions(names: Sequence[str]) -> list[Permission]:
    found = {spelt(permission): permission for permission in named(name for name in names if "." in name)}
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise CommandError(f"There is no permission {', '.join(unknown)}")
    return list(found.values())


def _user(email: str) -> User:
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        raise CommandError(f"There is no user {email}: --create-user makes one")
    return user


def _made(email: str, permissions: Sequence[Permission]) -> User:
    """Without a password: such a user logs in at the OpenID Connect provider, or not at all."""
    try:
        validate_email(email)
    except ValidationError:
        raise CommandError(f"{email!r} is no email address") from None
    user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email, email)
    user.user_permissions.add(*permissions)
    return user
