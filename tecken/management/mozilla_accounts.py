"""Users, groups and tokens of a site of Mozilla's Tecken as accounts of this one.

Users are the same if their email addresses are. A token keeps its key, so that build machines need no other
one: only the key's digest is stored, and nothing prints it. There, a token alone decides what its bearer may
do. Here its owner needs the permissions, too, and gets those of its valid tokens.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from django.contrib.auth.hashers import identify_hasher, make_password
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    HINT_CHARACTERS,
    MAX_NOTES,
    ONE_OF,
    digest,
    find_permissions,
    permission_name,
)
from tecken.management.mozilla_tables import MozillaTables, Row, parse_flag, parse_time

PERMISSIONS: Final = (
    *("upload.upload_symbols", "upload.upload_try_symbols", "upload.view_all_uploads"),
    "tokens.manage_tokens",
)
"""Permissions that both sites have, under the same names."""
_KEY: Final = re.compile(r"[0-9a-f]{32}")
NAME_CHARACTERS: Final = 150


class MozillaAccounts:
    """Import of the accounts of one site. `report` receives a line for each account that is left out."""

    def __init__(self, tables: MozillaTables, report: Callable[[str], object]) -> None:
        self._tables = tables
        self._report = report
        self.counts: Counter[str] = Counter()
        self.users: dict[str, User] = {}
        """Users of this site by their numbers in the other one."""
        self._names: dict[str, str] = {}
        self._permissions = {permission_name(found): found for found in find_permissions(PERMISSIONS)}

    def run(self, *, dry_run: bool) -> Counter[str]:
        """Import all accounts, or none of them. A dry run does the same, and undoes it."""
        with transaction.atomic():
            self._names = dict(self._read_permission_names())
            self._import_users()
            self._import_groups()
            self._import_tokens()
            if dry_run:
                transaction.set_rollback(True)
        return self.counts

    def _read_permission_names(self) -> Iterator[tuple[str, str]]:
        with self._tables.read("django_content_type") as rows:
            apps = {row["id"]: row["app_label"] for row in rows}
        with self._tables.read("auth_permission") as rows:
            for row in rows:
                yield row["id"], f"{apps.get(row['content_type_id'], '')}.{row['codename']}"

    def _import_users(self) -> None:
        with self._tables.read("auth_user") as rows:
            for row in rows:
                self._import_user(row)

    def _import_user(self, row: Row) -> None:
        email = row["email"].strip()
        try:
            validate_email(email)
        except ValidationError:
            self._leave_out("users", f"user {row['id']}: no email address")
            return
        user = User.objects.filter(email__iexact=email).first()
        self.counts["users already there" if user else "users created"] += 1
        if user is None:
            user = User.objects.create(
                username=email[:NAME_CHARACTERS],
                email=email,
                password=_keep_password(row["password"]),
                is_active=parse_flag(row["is_active"]),
                date_joined=parse_time(row["date_joined"]) or timezone.now(),
            )
        if parse_flag(row["is_superuser"]):
            self._leave_out("superusers", f"{email}: superuser there, and an ordinary user here")
        self.users[row["id"]] = user

    def _leave_out(self, kind: str, line: str) -> None:
        self.counts[f"{kind} left out"] += 1
        self._report(line)

    # Groups and permissions

    def _import_groups(self) -> None:
        groups = {}
        with self._tables.read("auth_group") as rows:
            for row in rows:
                groups[row["id"]] = row["name"]
        permissions = self._read_links("auth_group_permissions", "group_id", "permission_id")
        members = self._read_links("auth_user_groups", "group_id", "user_id")
        for number, name in groups.items():
            found = self._select(permissions[number])
            group, is_new = Group.objects.get_or_create(name=name[:NAME_CHARACTERS])
            if is_new:
                self.counts["groups created"] += 1
                group.permissions.set(found)
            group.user_set.add(*(self.users[user] for user in members[number] if user in self.users))
        granted = self._read_links("auth_user_user_permissions", "user_id", "permission_id")
        for number, user in self.users.items():
            user.user_permissions.add(*self._select(granted[number]))

    def _read_links(self, table: str, owner: str, target: str) -> defaultdict[str, list[str]]:
        links: defaultdict[str, list[str]] = defaultdict(list)
        with self._tables.read(table, optional=True) as rows:
            for row in rows:
                links[row[owner]].append(row[target])
        return links

    def _select(self, numbers: list[str]) -> list[Permission]:
        names = (self._names.get(number, "") for number in numbers)
        return [self._permissions[name] for name in names if name in self._permissions]

    # Tokens

    def _import_tokens(self) -> None:
        links = self._read_links("tokens_token_permissions", "token_id", "permission_id")
        with self._tables.read("tokens_token") as rows:
            for row in rows:
                if reason := self._import_token(row, self._select(links[row["id"]])):
                    self._leave_out("tokens", f"token {row['id']}: {reason}")

    def _import_token(self, row: Row, permissions: list[Permission]) -> str:
        """Create a token; return why it is left out."""
        user, expires_at = self.users.get(row["user_id"]), parse_time(row["expires_at"])
        if user is None or expires_at is None:
            return "its user is left out"
        if expires_at < timezone.now():
            return "it has expired"
        if not _KEY.fullmatch(row["key"]):
            return "its key has another form"
        names = set(map(permission_name, permissions))
        if names >= ONE_OF:
            return "it has both permissions to upload, and a token can have one here"
        if Token.objects.filter(digest=digest(row["key"])).exists():
            self.counts["tokens already there"] += 1
            return ""
        token = Token.objects.create(
            user=user,
            digest=digest(row["key"]),
            hint=row["key"][:HINT_CHARACTERS],
            expires_at=expires_at,
            notes=row["notes"].replace("\0", "")[:MAX_NOTES],
        )
        token.permissions.set(permissions)
        Token.objects.filter(pk=token.pk).update(created_at=parse_time(row["created_at"]) or timezone.now())
        self.counts["tokens created"] += 1
        self._grant(user, permissions)
        return ""

    def _grant(self, user: User, permissions: list[Permission]) -> None:
        """Grant the owner of a token what it has not: here a token can do nothing that its owner cannot."""
        # Read again: Django keeps the permissions of a user that it has looked up.
        granted = User.objects.get(pk=user.pk)
        lacking = [found for found in permissions if not granted.has_perm(permission_name(found))]
        if lacking:
            self.counts["permissions granted to owners of tokens"] += len(lacking)
            user.user_permissions.add(*lacking)


def _keep_password(encoded: str) -> str:
    """Return a password's hash if this site can check it, else one that no password has."""
    try:
        identify_hasher(encoded)
    except ValueError:
        return make_password(None)
    return encoded
