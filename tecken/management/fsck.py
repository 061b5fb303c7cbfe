"""Check that storage, database and page files agree, and the repair of differences.

An upload stores a file, invalidates the symbols of the previous one and writes its row last
(`tecken.upload.ingest`). So a file without a row is an upload that has not ended, or was added by hand;
neither is a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.storage.port import OwnFiles, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, object_of, parse_storage_path


class Problem(NamedTuple):
    """A difference, and the function that removes the wrong side of it."""

    text: str
    repair: Callable[[], object]


class Fsck:
    """Comparison of everything that is stored. Its methods raise Unavailable.

    Uploads may continue at the same time. Therefore page files are listed before symbol files, which are
    stored before them, and a row that seems wrong is compared again with the present file.
    """

    def __init__(self, *, upstreams: bool) -> None:
        self._upstreams = upstreams
        self.page_files = dict(storage_services.page_files().entries())
        self.former = list(storage_services.page_files().former())
        self.files = {
            files.name: (files, dict(files.entries()))
            for files in (storage_services.own_files(), storage_services.try_files())
        }
        self._newest = {name: _newest_symbols(stored) for name, (_, stored) in self.files.items()}

    def find_problems(self) -> Iterator[Problem]:
        """Yield every difference."""
        for files, stored in self.files.values():
            yield from _find_row_problems(files, stored)
        for module, written in self.page_files.items():
            yield from self._find_page_problems(module, written)
        for path in self.former:
            repair = partial(storage_services.page_files().delete_former, path)
            yield Problem(f"page file {path}: its name is one of a former release, and never read", repair)

    def _find_page_problems(self, module: ObjectId, written: datetime) -> Iterator[Problem]:
        files = storage_services.try_files() if module.is_try else storage_services.own_files()
        stored = self._newest[files.name].get(ObjectId(module.debug_file, module.debug_id))
        repair = partial(symbolication_services.invalidate_module, module)
        if stored and stored > written:
            yield Problem(f"page file of {module}: older than the symbol file", repair)
        elif not stored and (module.is_try or not self._upstreams):
            yield Problem(f"page file of {module}: there is no symbol file", repair)


def _newest_symbols(stored: dict[FileKey, Stored]) -> dict[ObjectId, datetime]:
    """Return when the symbol file of each object was last stored, in any spelling of its name."""
    newest: dict[ObjectId, datetime] = {}
    for key, file in stored.items():
        if (object_id := object_of(key)) is not None:
            newest[object_id] = max(file.modified, newest.get(object_id, file.modified))
    return newest


def _find_row_problems(files: OwnFiles, stored: dict[FileKey, Stored]) -> Iterator[Problem]:
    """Yield keys whose newest row does not match the stored file.

    The repair deletes the rows, so that the next upload stores the file again.
    """
    rows = SymbolFile.objects.filter(bucket_name=files.name, completed_at__isnull=False)
    newest_first = rows.order_by("key", "-completed_at", "-pk").iterator()
    for path, group in groupby(newest_first, attrgetter("key")):
        key, row = parse_storage_path(path), next(group)
        # The list may be outdated, because uploads continue, so a difference is checked against the storage.
        if _differs(row, stored.get(key)) and _differs(row, present := _stat(files, key)):
            text = "another file than in its row" if present else "a row and no file"
            yield Problem(f"{files.name}/{path}: {text}", rows.filter(key=path, pk__lte=row.pk).delete)


def _differs(row: SymbolFile, stored: Stored | None) -> bool:
    return stored is None or (stored.size, stored.etag) != (row.size, row.etag)


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except NotFound:
        return None
