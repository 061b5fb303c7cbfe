"""Whether storage, database and page files tell the same story, and what to do where they do not.

An upload stores a file, forgets what was made of the former one and writes its row last. So a file without a
row is an upload that never ended, or was added by hand: both are in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tecken.errors import Absent
from tecken.storage import services as storage_services
from tecken.storage.port import OwnFiles, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, object_of, parse_storage_path
from tecken.upload.models import FileUpload


class Trouble(NamedTuple):
    what: str
    repair: Callable[[], object]


class Fsck:
    """Reads all that is stored when made. That and the rest raise CouldNotAsk.

    Uploads may go on meanwhile: page files are listed before symbol files, which are there first, and what a
    row says is compared once more when it seems wrong.
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

    def troubles(self) -> Iterator[Trouble]:
        for files, stored in self.files.values():
            yield from _row_troubles(files, stored)
        for module, written in self.page_files.items():
            yield from self._page_troubles(module, written)
        for path in self.former:
            repair = partial(storage_services.page_files().delete_former, path)
            yield Trouble(f"page file {path}: its name is one of a former release, and never read", repair)

    def _page_troubles(self, module: ObjectId, written: datetime) -> Iterator[Trouble]:
        files = storage_services.try_files() if module.is_try else storage_services.own_files()
        stored = self._newest[files.name].get(ObjectId(module.debug_file, module.debug_id))
        repair = partial(symbolication_services.replaced, module)
        if stored and stored > written:
            yield Trouble(f"page file of {module}: older than the symbol file", repair)
        elif not stored and (module.is_try or not self._upstreams):
            yield Trouble(f"page file of {module}: there is no symbol file", repair)


def _newest_symbols(stored: dict[FileKey, Stored]) -> dict[ObjectId, datetime]:
    """Return when the symbol file of each object was last stored, in any spelling of its name."""
    newest: dict[ObjectId, datetime] = {}
    for key, file in stored.items():
        if (object_id := object_of(key)) is not None:
            newest[object_id] = max(file.modified, newest.get(object_id, file.modified))
    return newest


def _row_troubles(files: OwnFiles, stored: dict[FileKey, Stored]) -> Iterator[Trouble]:
    """The newest row of a key says what is there. Without its rows the next upload stores the file again."""
    rows = FileUpload.objects.filter(bucket_name=files.name, completed_at__isnull=False)
    newest_first = rows.order_by("key", "-completed_at", "-pk").iterator()
    for path, group in groupby(newest_first, attrgetter("key")):
        key, row = parse_storage_path(path), next(group)
        if _differs(row, stored.get(key)) and _differs(row, there := _stat(files, key)):
            what = "another file than its row says" if there else "a row and no file"
            yield Trouble(f"{files.name}/{path}: {what}", rows.filter(key=path, pk__lte=row.pk).delete)


def _differs(row: FileUpload, there: Stored | None) -> bool:
    return there is None or (there.size, there.etag) != (row.size, row.etag)


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except Absent:
        return None
