"""Rollouts: a bool option that is on for some. Who has it at 10 % has it at 20 %, in every process.

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
    """Whom a request is for. `request`: its id; `user`: an email address."""

    request: str = ""
    user: str = ""
    token: int | None = None

    def id(self, kind: Kind) -> str:
        """Empty when there is none."""
        if kind == "requests":
            return self.request
        return self.user.casefold() if kind == "users" else "" if self.token is None else str(self.token)


class Rollout(NamedTuple):
    """Those of one kind that have it: a share in percent, or exactly these."""

    kind: Kind
    share: float
    members: frozenset[str]

    def holds(self, option: str, subject: Subject | None) -> bool:
        """100 % of requests is everything, also what is no request; else who has no such id is not in it."""
        if self.kind == "requests" and self.share == 100:
            return True
        one = subject.id(self.kind) if subject else ""
        return bool(one) and (one in self.members or place(option, one) < self.share)


def rollout(text: str) -> Rollout | None:
    """None when it looks like something else. Raises BadOption with the reason alone."""
    text = text.strip()
    if share := SHARE.fullmatch(text):
        return _share(float(share[1]), cast("Kind", share[2] or "requests"))
    if members := MEMBERS.fullmatch(text):
        return _members(cast("Kind", members[1]), (members[2] or "").replace(",", " ").split())
    if "%" in text:
        raise BadOption("a share is 25%, 25% of users or 25% of tokens")
    return None


def place(option: str, one: str) -> float:
    """Where it stands, from 0 to below 100: elsewhere for each option, the same in every process."""
    digest = hashlib.sha256(f"{option} {one}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) * 100 / 2**48


def _share(share: float, kind: Kind) -> Rollout:
    if share > 100:
        raise BadOption("a share is from 0% to 100%")
    return Rollout(kind, share, frozenset())


def _members(kind: Kind, members: list[str]) -> Rollout:
    if not members:
        raise BadOption(f"{kind} of whom it is on should follow, with spaces between them")
    if kind == "tokens" and not all(one.isascii() and one.isdigit() for one in members):
        raise BadOption("a token is given by its number")
    known = (one.casefold() if kind == "users" else one.lstrip("0") or "0" for one in members)
    return Rollout(kind, 0, frozenset(known))
