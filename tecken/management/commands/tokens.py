"""Command `tokens`: list, revoke, extend and rotate API tokens of any user."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    DAYS,
    MAX_DAYS,
    MAX_OVERLAP_DAYS,
    OVERLAP_DAYS,
    extend,
    permission_name,
    revoke,
    rotate,
)
from tecken.errors import InvalidInput
from tecken.management.command import SiteCommand
from tecken.management.commands.createtoken import find_user

# The largest value of the column.
BIGGEST = 2**63 - 1
STATES = ("active", "expired", "all")


class Command(SiteCommand):
    """Subcommands list, revoke, extend and rotate."""

    help = "List, revoke, extend or rotate API tokens. `createtoken` creates one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        listing = commands.add_parser("list", help="list tokens, the newest first")
        listing.add_argument("--user", metavar="EMAIL", help="only those of one user")
        listing.add_argument(
            "--state", choices=STATES, default="active", help="only those in this state (default %(default)s)"
        )
        listing.add_argument("--unused", metavar="DAYS", type=int, help="only those not used for DAYS days")
        revoking = commands.add_parser("revoke", help="end tokens now")
        revoking.add_argument("numbers", metavar="NUMBER", nargs="*", type=int, help="number of a token")
        revoking.add_argument("--user", metavar="EMAIL", help="all tokens of one user that have not ended")
        extending = commands.add_parser("extend", help="extend tokens from their end, or from now")
        extending.add_argument("numbers", metavar="NUMBER", nargs="+", type=int, help="number of a token")
        extending.add_argument("--days", type=int, default=DAYS, help="additional days (default %(default)s)")
        rotating = commands.add_parser("rotate", help="make a new key for a token, and print only the key")
        rotating.add_argument("number", metavar="NUMBER", type=int, help="number of the token")
        rotating.add_argument(
            "--overlap-days",
            metavar="DAYS",
            type=int,
            default=OVERLAP_DAYS,
            help="days for which the old key stays valid; 0 ends it now (default %(default)s)",
        )
        for command in (listing, revoking, extending, rotating):
            command.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, command: str, **options: Any) -> None:
        """Run a subcommand."""
        try:
            if command == "list":
                self._print(_select(options["user"], options["state"], options["unused"]), options)
            elif command == "revoke":
                self._print(_change(_find_revocable(options["numbers"], options["user"]), revoke), options)
            elif command == "extend":
                _check_range("--days", options["days"], 1)
                tokens = _find(options["numbers"])
                self._print(_change(tokens, lambda token: extend(token, options["days"])), options)
            else:
                self._rotate(options)
        except InvalidInput as error:
            raise CommandError(str(error)) from None

    def _print(self, tokens: Iterable[Token], options: dict[str, Any]) -> None:
        rows = [_describe(token) for token in tokens]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            self.stdout.write(_format_line(row))

    def _rotate(self, options: dict[str, Any]) -> None:
        _check_range("--overlap-days", options["overlap_days"], 0, MAX_OVERLAP_DAYS)
        [token] = _find([options["number"]])
        successor, key = rotate(token, options["overlap_days"])
        if options["json"]:
            self.stdout.write(json.dumps({"token": _describe(successor), "key": key}, indent=2))
            return
        self.stdout.write(key)
        ends = "has ended" if token.is_expired else f"ends {token.expires_at:%Y-%m-%d %H:%M} UTC"
        self.stderr.write(f"token {successor.pk} takes the place of token {token.pk}, which {ends}")


def _check_range(name: str, value: int, least: int, most: int = MAX_DAYS) -> None:
    if not least <= value <= most:
        raise CommandError(f"{name} must be from {least} to {most}")


def _select(email: str | None, state: str, unused_days: int | None) -> QuerySet[Token]:
    """Return the tokens that match the filters, the newest first. Raises CommandError."""
    tokens = Token.objects.select_related("user").prefetch_related("permissions__content_type")
    if email:
        tokens = tokens.filter(user=find_user(email))
    expired = Q(expires_at__lt=timezone.now())
    if state != "all":
        tokens = tokens.filter(expired) if state == "expired" else tokens.exclude(expired)
    if unused_days is not None:
        _check_range("--unused", unused_days, 0)
        limit = timezone.now() - timedelta(days=unused_days)
        # A token that was made since then had no time to be used.
        tokens = tokens.filter(Q(last_used_at__lt=limit) | Q(last_used_at=None, created_at__lt=limit))
    return tokens.order_by("-created_at", "-pk")


def _find(numbers: Sequence[int]) -> list[Token]:
    """Return tokens by their numbers. Raises CommandError before any is changed, if one does not exist."""
    storable = [number for number in numbers if 0 < number <= BIGGEST]
    found = Token.objects.select_related("user").in_bulk(storable)
    if unknown := [str(number) for number in numbers if number not in found]:
        raise CommandError(f"There is no token {', '.join(unknown)}")
    return [found[number] for number in dict.fromkeys(numbers)]


def _find_revocable(numbers: Sequence[int], email: str | None) -> list[Token]:
    if bool(numbers) == bool(email):
        raise CommandError("Name either the numbers of tokens, or --user EMAIL")
    return list(_select(email, "active", None)) if email else _find(numbers)


def _change(tokens: Sequence[Token], change: Callable[[Token], object]) -> list[Token]:
    # All or none: an error names no token, so the operator could not tell which ones were changed.
    with transaction.atomic():
        for token in tokens:
            change(token)
    return list(tokens)


def _describe(token: Token) -> dict[str, Any]:
    """Return a token as JSON types."""
    return {
        "id": token.pk,
        "hint": token.hint,
        "user": token.user.email or token.user.get_username(),
        "permissions": sorted(map(permission_name, token.permissions.all())),
        "expires_at": token.expires_at.isoformat(),
        "is_expired": token.is_expired,
        "created_at": token.created_at.isoformat(),
        "last_used_at": token.last_used_at and token.last_used_at.isoformat(),
        "rotated_to": token.rotated_to_id,
        "notes": token.notes,
    }


def _format_line(row: dict[str, Any]) -> str:
    """Return a token in one line, with control characters of its notes escaped."""
    ends = "ended" if row["is_expired"] else "ends"
    used = f"used {row['last_used_at'][:10]}" if row["last_used_at"] else "never used"
    rotated = f", rotated to {row['rotated_to']}" if row["rotated_to"] else ""
    notes = f": {json.dumps(row['notes'], ensure_ascii=False)}" if row["notes"] else ""
    return (
        f"{row['id']:>6} {row['hint']}... {row['user']} {','.join(row['permissions']) or '-'} "
        f"{ends} {row['expires_at'][:10]}, {used}{rotated}{notes}"
    )
