"""Rollouts: bool options that are on for a share of ids. An id with 10 % also has 20 %, in every process.

25%    25% of requests    25% of users    25% of tokens    users a@example.com b@example.com    tokens 12 15
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple, cast

from tecken.errors import BadOption

Kind = Literal["requests", "users", "tokens"]

SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%(?: of (requests|users|tokens))?", re.ASCII)
MEMBERS = re.compile(r"(users|tokens)(?:[\s,]+(.*))?", re.DOTALL)


class Subject(NamedTuple):
    """Ids of the requester: of the request, an email address, the number of a token."""

    request: str = ""
    user: str = ""
    token: int | None = None

    def id(self, kind: Kind) -> str:
        """Return the id of this kind; empty when there is none."""
        if kind == "requests":
            return self.request
        return self.user.casefold() if kind == "users" else "" if self.token is None else str(self.token)


class Rollout(NamedTuple):
    """Share in percent of the ids of a kind, or a list of members."""

    kind: Kind
    share: float
    members: frozenset[str]

    def includes(self, option: str, subject: Subject | None) -> bool:
        """Return whether the option is on; outside a request only 100 % of requests is."""
        if self.kind == "requests" and self.share == 100:
            return True
        member = subject.id(self.kind) if subject else ""
        return bool(member) and (member in self.members or position(option, member) < self.share)


def parse_rollout(text: str) -> Rollout | None:
    """Return None for a text of another form. Raises BadOption with the reason alone."""
    text = text.strip()
    if share := SHARE.fullmatch(text):
        if float(share[1]) > 100:
            raise BadOption("a share is from 0% to 100%")
        return Rollout(cast("Kind", share[2] or "requests"), float(share[1]), frozenset())
    if members := MEMBERS.fullmatch(text):
        return _parse_members(cast("Kind", members[1]), (members[2] or "").replace(",", " ").split())
    if "%" in text:
        raise BadOption("a share is 25%, 25% of users or 25% of tokens")
    return None


def position(option: str, member: str) -> float:
    """Return the place of an id from 0 to below 100: different for each option, the same in every process."""
    digest = hashlib.sha256(f"{option} {member}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) * 100 / 2**48


def _parse_members(kind: Kind, members: list[str]) -> Rollout:
    if not members:
        raise BadOption(f"the {kind} should follow, with spaces between them")
    if kind == "users":
        return Rollout(kind, 0, frozenset(member.casefold() for member in members))
    if not all(member.isascii() and member.isdigit() for member in members):
        raise BadOption("a token is given by its number")
    return Rollout(kind, 0, frozenset(member.lstrip("0") or "0" for member in members))
