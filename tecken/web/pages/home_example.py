"""Example of the home page: a module and an offset that this site can symbolicate."""

from __future__ import annotations

import json
import shlex
import time
from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError

from tecken import services
from tecken.errors import BadModule
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, Section
from tecken.upload.models import Upload

# tests/data/samples: `make run` and the demo mode store it.
SAMPLE = ObjectId.parse("libcrash-cpp.so", "273D63DBA9E83361F8EC5DEE35148BFF0")
SAMPLE_OFFSET = 0x195D
# Each browser with the home page open reloads parts of it every ten seconds.
SAMPLE_SECONDS = 30.0
# Bounds the look-ups of a request when the newest files have no symbols.
CANDIDATES = 3


class Example(NamedTuple):
    """Frame that can be symbolicated."""

    debug_file: str
    debug_id: str
    offset: int

    @property
    def line(self) -> str:
        """Frame in the form in which a user can paste it."""
        return f"{self.debug_file} {self.debug_id} +{self.offset:#x}"

    @property
    def body(self) -> str:
        """Request body for the API, quoted for a shell."""
        name = json.dumps(self.debug_file)
        return shlex.quote(
            f'{{\n  "memoryMap": [[{name},\n    "{self.debug_id}"]],\n  "stacks": [[[0, {self.offset}]]]}}'
        )


class _SampleCheck:
    """Cached result of the check whether the sample is stored."""

    def __init__(self) -> None:
        self._is_stored, self._until = False, 0.0

    def is_stored(self) -> bool:
        """Return whether the sample is stored, as of at most SAMPLE_SECONDS ago."""
        now = time.monotonic()
        if now >= self._until:
            self._is_stored = isinstance(_load_header(SAMPLE), Header)
            self._until = now + SAMPLE_SECONDS
        return self._is_stored


@services.per_process
def sample_check() -> _SampleCheck:
    """Return the check of this process."""
    return _SampleCheck()


def find_example(user: User | AnonymousUser) -> Example | None:
    """Return the sample if it is stored, else the newest of the user's own modules that has symbols.

    Other modules are never shown: the id of a module is enough to download its symbols.
    """
    if sample_check().is_stored():
        return Example(SAMPLE.debug_file, SAMPLE.debug_id, SAMPLE_OFFSET)
    if isinstance(user, AnonymousUser):
        return None
    try:
        examples = [_read_example(*names) for names in _newest_modules(user)]
    except DatabaseError:
        return None
    return next(filter(None, examples), None)


def _newest_modules(user: User) -> list[tuple[str, str]]:
    files = SymbolFile.objects.exclude(completed_at=None).exclude(debug_id="").filter(try_symbols=False)
    if not user.has_perm("upload.view_all_uploads"):
        uploads = Upload.objects.filter(user=user).order_by("-created_at").values_list("pk", flat=True)
        files = files.filter(upload__in=list(uploads[:CANDIDATES]))
    return list(files.order_by("-created_at").values_list("debug_file", "debug_id")[:CANDIDATES])


def _read_example(debug_file: str, debug_id: str) -> Example | None:
    try:
        module = ObjectId.parse(debug_file, debug_id)
    except BadModule:
        return None
    # The loader reads memory, the store and page files. It converts nothing for an example.
    header = _load_header(module)
    if not isinstance(header, Header) or not header.pages(Section.SYMBOLS):
        return None
    page = (module, header, header.pages(Section.SYMBOLS).start)
    pages = symbolication_services.symbol_loader().pages([page], Trace()).found
    return next((Example(debug_file, debug_id, header.unpack(page).keys[0]) for page in pages.values()), None)


def _load_header(module: ObjectId) -> object:
    return symbolication_services.symbol_loader().headers([module], Trace()).get(module)
