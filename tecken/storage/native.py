"""Symbols of native files in our own storage: found by their ids, and converted to text on the way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Case, Q, Value, When

from tecken.errors import NotFound, Unavailable
from tecken.storage.dump import DumpEngine, DumpLimits, dump
from tecken.storage.models import CONVERTIBLE_KINDS, SymbolFile
from tecken.storage.port import OwnFiles
from tecken.symbols.ids import GUID_DIGITS, SHORTEST_BUILD_ID, ObjectId, is_zero_debug_id
from tecken.symbols.layouts import FileKey, parse_storage_path


class NativeFile(NamedTuple):
    """Native file of a module. `arch` chooses one of a file for several processors."""

    key: FileKey
    arch: str
    etag: str


def find_native_file(module: ObjectId) -> NativeFile:
    """Return the best native file of a module, by its debug id or build id; its name makes no difference.

    A minidump names the executable, and the debug file of the same build has another name or none: Debian's
    is called after its build id. Raises NotFound, or Unavailable when the database does not respond.
    """
    rows = SymbolFile.objects.identifying().convertible()
    rows = rows.filter(_has_id(module.debug_id), try_symbols=module.is_try)
    order = Case(*(When(kind=kind, then=Value(rank)) for rank, kind in enumerate(CONVERTIBLE_KINDS)))
    try:
        found = rows.order_by(order, "-pk").values_list("key", "arch", "etag").first()
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if found is None:
        raise NotFound(f"no native file of {module} was uploaded")
    key, arch, etag = found
    return NativeFile(parse_storage_path(key), arch, etag)


def native_stamp(module: ObjectId) -> str:
    """Return a text that differs after another native file of the module was uploaded.

    Without the database it is empty: modules of upstreams do not depend on the database.
    """
    try:
        return find_native_file(module).etag
    except (NotFound, Unavailable):
        return ""


def _has_id(debug_id: str) -> Q:
    """Return the condition for a debug id in the path, or for the build id from which it is derived."""
    by_path = Q(debug_id=debug_id)
    is_of_build_id = len(debug_id) == GUID_DIGITS + 1 and debug_id.endswith("0")
    if not is_of_build_id or is_zero_debug_id(debug_id):
        return by_path
    build_id = uuid.UUID(hex=debug_id[:GUID_DIGITS]).bytes_le.hex()
    # A build id of fewer bytes is filled with zeros.
    lengths = range(SHORTEST_BUILD_ID, GUID_DIGITS, 2)
    shorter = [build_id[:length] for length in lengths if not build_id[length:].strip("0")]
    return by_path | Q(build_id__startswith=build_id) | Q(build_id__in=shorter)


class NativeSymbols:
    """Symbol source that writes the text of uploaded native files with an engine."""

    name = "native files"

    def __init__(self, files: OwnFiles, engine: DumpEngine) -> None:
        self._files = files
        self._engine = engine

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Write the text of a module's native file, as `SymbolSource.open` does. Also raises Malformed."""
        native = find_native_file(module)
        with TemporaryFile(dir=settings.SPOOL_DIR) as file:
            with self._files.read(native.key) as chunks:
                for chunk in chunks:
                    file.write(chunk)
            file.flush()
            text = dump(self._engine, file, module.debug_file, native.arch, DumpLimits())
            try:
                yield text
            finally:
                text.close()
