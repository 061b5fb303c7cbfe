"""Files in uploaded CAB files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

from django.conf import settings

from tecken.runtimeconfig.current import options
from tecken.storage import cabinets
from tecken.storage import services as storage_services
from tecken.symbols.formats.cabinet import Cabinet


@contextmanager
def open_unpacked(cabinet: Cabinet, packed: Iterable[bytes]) -> Iterator[BinaryIO]:
    """Open the file in a CAB file that consists of these bytes.

    Raises:
        Malformed: The CAB file is broken, or no engine reads it.
        TooLarge: The file in it exceeds a limit of uploads.
        Unavailable: The disk has no room left.
    """
    config = options()
    rules = cabinets.UnpackRules(
        config.symbol_max_bytes, config.upload_max_ratio, storage_services.disk_space().check
    )
    with TemporaryFile(dir=settings.SPOOL_DIR) as copy:
        for chunk in packed:
            copy.write(chunk)
        copy.flush()
        with cabinets.open_unpacked(cabinet, copy, copy.tell(), rules) as content:
            yield content
