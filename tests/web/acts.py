"""Table of every page and every form, with the users that it serves.

A test fails for a page without an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tecken.web.pages.config_form import WINDOW
from tests.upload.uploaders import SYM, SYM_KEY
from tests.upload.zips import zipped
from tests.web.everything import DEAD, EXCEPTION, FETCHED, PEOPLE, STACK

EVERYBODY = ("nobody", *PEOPLE, "superuser")
KNOWN = EVERYBODY[1:]
UPLOADERS = ("owner", "other", "superuser")
SEE_UPLOADS = ("owner", "other", "auditor", "superuser")
MANAGE_TOKENS = ("owner", "other", "auditor", "operator", "superuser")
LOOK = ("viewer", "operator", "superuser")
CHANGE = ("operator", "superuser")
SEE_USAGE = ("operator", "superuser")
CLOSED = {"message": "Soon", "retry_after": "", "until": ""}
FROM_US = {"Origin": "http://testserver"}
ARCHIVE = zipped({str(SYM_KEY): SYM})


class Act(NamedTuple):
    """Page or, with `sent`, form; the users whom it serves, and those for whom it does not exist.

    An anonymous user is redirected to the log-in page, or refused for a form. All others are refused.
    """

    page: str
    served: tuple[str, ...]
    sent: Mapping[str, object] | None = None
    absent: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return "GET" if self.sent is None else "POST"

    def __str__(self) -> str:
        words = () if self.sent is None else ("form", *(str(self.sent[k]) for k in KINDS if k in self.sent))
        return "-".join((self.page, *words))

    def for_whom(self, who: str) -> str:
        if who in self.served:
            return "served"
        if who in self.absent:
            return "absent"
        return "login" if who == "nobody" and self.sent is None else "forbidden"


KINDS = ("do", "action")
OTHERS = ("other", "auditor", "operator", "superuser")
ACTS = (
    Act("home", EVERYBODY),
    # The site of the tests has no sample.
    Act("tour", (), absent=EVERYBODY),
    Act("tour", EVERYBODY, {}),
    Act("symbolicate", EVERYBODY),
    Act("symbolicate", EVERYBODY, {"text": STACK}),
    Act("symbolicate", EVERYBODY, {"text": STACK, "do": "json"}),
    Act("symbolicate", EVERYBODY, {"text": STACK, "do": "share"}),
    Act("shared", EVERYBODY),
    Act("minidump", EVERYBODY),
    Act("minidump", EVERYBODY, {}),
    Act("minidump-send", EVERYBODY, {"minidump": b"MDMP"}),
    Act("explain", EVERYBODY),
    Act("explained", EVERYBODY),
    Act("explained", (*SEE_UPLOADS, "operator"), {}),
    Act("missing", EVERYBODY),
    Act("help", EVERYBODY),
    Act("help-topic", EVERYBODY),
    Act("health", EVERYBODY),
    Act("doctor", LOOK),
    Act("doctor", CHANGE, {}),
    Act("api-docs", EVERYBODY),
    Act("uploads", SEE_UPLOADS),
    Act("uploads", UPLOADERS, {"archive": ARCHIVE}),
    Act("upload", ("owner", "auditor", "superuser"), absent=("other",)),
    Act("upload", ("owner",), {"do": "cancel"}, absent=("other",)),
    Act("files", SEE_UPLOADS),
    Act("fetched", ("auditor", *LOOK)),
    Act("fetched", CHANGE, {"module": FETCHED}),
    Act("tokens", KNOWN),
    Act("tokens", MANAGE_TOKENS, {"permission": "tokens.manage_tokens", "days": 30, "notes": ""}),
    Act("usage", KNOWN),
    Act("usage-user", ("owner", *SEE_USAGE), absent=("newcomer", "other", "auditor", "viewer")),
    Act("usage-token", ("owner", *SEE_USAGE), absent=("newcomer", "other", "auditor", "viewer")),
    Act("usage-exceptions", SEE_USAGE, {"do": "remove", "exception": EXCEPTION, "why": ""}),
    Act("add-to-ci", UPLOADERS),
    Act("add-to-ci", UPLOADERS, {"days": 30, "note": ""}),
    *(
        Act("token", ("owner",), {"do": do, "days": 30, "overlap": 1}, OTHERS)
        for do in ("extend", "rotate", "revoke", "delete")
    ),
    Act("store", LOOK),
    Act("store", CHANGE, {}),
    Act("jobs", LOOK),
    *(Act("jobs", CHANGE, {"do": do, "job": DEAD.id, "task": ""}) for do in ("retry", "drop", "forget")),
    Act("job", LOOK),
    Act("config", LOOK),
    Act("config", CHANGE, {"version": 2, "symbolicate_max_jobs": 40, "why": "", **dict.fromkeys(WINDOW, "")}),
    Act("config-history", LOOK),
    Act("config-version", LOOK),
    Act("config-version", CHANGE, {"version": 2, "why": ""}),
    Act("config-version", CHANGE, {"version": 2, "why": "", "action": "undo", "later": "overwrite"}),
    Act("maintenance", LOOK),
    Act("maintenance", CHANGE, {"level": "uploads", "action": "begin", **CLOSED}),
    Act("maintenance", CHANGE, {"level": "uploads", "action": "end"}),
)
PAGES = [act for act in ACTS if act.sent is None]
FORMS = [act for act in ACTS if act.sent is not None]
GONE = {"home": {"POST"}}
"""Methods that are answered with 410: `/` was the address of symbolication once."""


def files(sent: Mapping[str, object]) -> dict[str, object]:
    """Return the values with bytes as uploaded files."""
    return {
        name: SimpleUploadedFile(f"{name}.zip", value, "application/zip")
        if isinstance(value, bytes)
        else value
        for name, value in sent.items()
    }


def does(client: Client, act: Act, path: str) -> Any:
    if act.sent is None:
        return client.get(path, headers={"Accept": "text/html"})
    return client.post(path, files(act.sent), headers=FROM_US)
