"""A module and an offset that this very site can symbolicate, for the examples of the home page."""

from __future__ import annotations

import json
import shlex
import time
from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError

from tecken import wiring
from tecken.errors import BadModule
from tecken.storage.models import SymbolFile
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ModuleKey, module_key
from tecken.symbols.pagefile.file import Header, Section
from tecken.upload.models import Upload

# tests/data/samples: `make run` and the demo mode store it.
SAMPLE = module_key("libcrash-cpp.so", "273D63DBA9E83361F8EC5DEE35148BFF0")
SAMPLE_OFFSET = 0x195D
# The home page asks for itself every ten seconds in each open browser.
SAMPLE_SECONDS = 30.0
# Files that symbolicate nothing must not cost a page more than these look-ups.
CANDIDATES = 3


class Example(NamedTuple):
    """One frame."""

    debug_file: str
    debug_id: str
    offset: int

    @property
    def line(self) -> str:
        """The frame as people paste it."""
        return f"{self.debug_file} {self.debug_id} +{self.offset:#x}"

    @property
    def body(self) -> str:
        """The request of the API, quoted for a shell."""
        name = json.dumps(self.debug_file)
        return shlex.quote(
            f'{{\n  "memoryMap": [[{name},\n    "{self.debug_id}"]],\n  "stacks": [[[0, {self.offset}]]]}}'
        )


class _SampleCheck:
    """Whether the sample is stored, looked up now and then."""

    def __init__(self) -> None:
        self._is_stored, self._until = False, 0.0

    def is_stored(self) -> bool:
        now = time.monotonic()
        if now >= self._until:
            self._is_stored = isinstance(_header(SAMPLE), Header)
            self._until = now + SAMPLE_SECONDS
        return self._is_stored


@wiring.once
def sample_check() -> _SampleCheck:
    return _SampleCheck()


def example_for(user: User | AnonymousUser) -> Example | None:
    """Return the sample where it is stored, else one of the user's own modules, the newest first.

    Others see none: to know a module's id is enough to download its symbols.
    """
    if sample_check().is_stored():
        return Example(SAMPLE.debug_file, SAMPLE.debug_id, SAMPLE_OFFSET)
    if isinstance(user, AnonymousUser):
        return None
    try:
        examples = [_example(*names) for names in _newest(user)]
    except DatabaseError:
        return None
    return next(filter(None, examples), None)


def _newest(user: User) -> list[tuple[str, str]]:
    files = SymbolFile.objects.exclude(completed_at=None).exclude(debug_id="").filter(try_symbols=False)
    if not user.has_perm("upload.view_all_uploads"):
        uploads = Upload.objects.filter(user=user).order_by("-created_at").values_list("pk", flat=True)
        files = files.filter(upload__in=list(uploads[:CANDIDATES]))
    return list(files.order_by("-created_at").values_list("debug_file", "debug_id")[:CANDIDATES])


def _example(debug_file: str, debug_id: str) -> Example | None:
    try:
        module = module_key(debug_file, debug_id)
    except BadModule:
        return None
    header = _header(module)
    if not isinstance(header, Header) or not header.pages(Section.SYMBOLS):
        return None
    page = (module, header, header.pages(Section.SYMBOLS).start)
    found = wiring.library().pages([page], Trace()).found
    return next((Example(debug_file, debug_id, page.keys[0]) for page in found.values()), None)


def _header(module: ModuleKey) -> object:
    return wiring.library().headers([module], Trace()).get(module)
