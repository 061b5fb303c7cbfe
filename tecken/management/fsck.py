"""Whether storage, database and page files tell the same story, and what to do where they do not.

An upload stores a file, forgets what was made of the former one and writes its row last
(tecken.upload.ingest). So a file without a row is an upload that never ended, or was added by hand: both are
in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tecken import wiring
from tecken.errors import Absent
from tecken.storage.models import SymbolFile
from tecken.storage.port import FileKey, OwnFiles, Stored, symbol_file
from tecken.symbols.ids import ModuleKey, TryModuleKey


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
        self.page_files = dict(wiring.page_files().entries())
        self.files = {
            files.name: (files, dict(files.entries())) for files in (wiring.own_files(), wiring.try_files())
        }

    def troubles(self) -> Iterator[Trouble]:
        for files, stored in self.files.values():
            yield from _row_troubles(files, stored)
        for module, written in self.page_files.items():
            yield from self._page_troubles(module, written)

    def _page_troubles(self, module: ModuleKey, written: datetime) -> Iterator[Trouble]:
        is_try = isinstance(module, TryModuleKey)
        files = wiring.try_files() if is_try else wiring.own_files()
        found = self.files[files.name][1].get(symbol_file(module))
        repair = partial(wiring.replaced, module)
        if found and found.modified > written:
            yield Trouble(f"page file of {module}: older than the symbol file", repair)
        elif not found and (is_try or not self._upstreams):
            yield Trouble(f"page file of {module}: there is no symbol file", repair)


def _row_troubles(files: OwnFiles, stored: dict[FileKey, Stored]) -> Iterator[Trouble]:
    """The newest row of a key says what is there. Without its rows the next upload stores the file again."""
    rows = SymbolFile.objects.filter(bucket_name=files.name, completed_at__isnull=False)
    newest_first = rows.order_by("key", "-completed_at", "-pk").iterator()
    for path, group in groupby(newest_first, attrgetter("key")):
        key, row = FileKey(*path.split("/")[1:]), next(group)
        if _differs(row, stored.get(key)) and _differs(row, there := _stat(files, key)):
            what = "another file than its row says" if there else "a row and no file"
            yield Trouble(f"{files.name}/{path}: {what}", rows.filter(key=path, pk__lte=row.pk).delete)


def _differs(row: SymbolFile, there: Stored | None) -> bool:
    return there is None or (there.size, there.etag) != (row.size, row.etag)


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except Absent:
        return None
