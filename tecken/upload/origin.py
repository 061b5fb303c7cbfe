"""Origin of an upload: the build, branch and commit that it came from, a note, and the token that sent it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

from tecken.accounts.models import Token
from tecken.errors import InvalidInput
from tecken.storage.models import NAME_CHARACTERS

ORIGIN_FIELDS: Final = ("build", "branch", "commit", "note")
# Control characters, line and paragraph separators, and halves of surrogate pairs: a name has none of them.
REFUSED_CATEGORIES: Final = ("Cc", "Zl", "Zp", "Cs")


class UploadOrigin(NamedTuple):
    """Columns of an upload that say where it came from. A text that the client did not send is empty."""

    build: str = ""
    branch: str = ""
    commit: str = ""
    note: str = ""
    token: Token | None = None


NO_ORIGIN: Final = UploadOrigin()


def parse_origin(values: Mapping[str, object], token: Token | None = None) -> UploadOrigin:
    """Return the origin that a client has sent. Raise InvalidInput.

    Args:
        values: The parameters of a URL or the members of a JSON object; others than those of an origin are
            ignored.
        token: The token of the request; None for a person's session.
    """
    texts = {name: _parse_text(name, values.get(name, "")) for name in ORIGIN_FIELDS}
    return UploadOrigin(**texts, token=token)


def _parse_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be a text")
    if len(value) > NAME_CHARACTERS:
        raise InvalidInput(f"{name} has {len(value)} characters, at most {NAME_CHARACTERS}")
    if any(unicodedata.category(character) in REFUSED_CATEGORIES for character in value):
        raise InvalidInput(f"{name} has a control character or a line break")
    return value.strip()
