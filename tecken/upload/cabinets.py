"""Files in CAB files, unpacked to a file without a name by a child process with limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from django.conf import settings

from tecken.errors import Malformed, TooLarge
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.dump import DumpLimits, find_engine, unpack_cabinet
from tecken.symbols.formats.cabinet import Cabinet
from tecken.upload.archive import SMALL_BYTES

# To unpack a gigabyte takes seconds.
LIMITS: Final = DumpLimits(memory_bytes=1 << 30, cpu_seconds=120, seconds=300.0)
# Bytes between two checks of the free disk space.
CHECKED_BYTES: Final = 64 << 20


@contextmanager
def open_unpacked(cabinet: Cabinet, packed: Iterable[bytes]) -> Iterator[BinaryIO]:
    """Open the file in a CAB file that consists of these bytes.

    Raises:
        Malformed: The CAB file is broken, or no engine reads it.
        TooLarge: The file in it exceeds a limit of uploads.
        Unavailable: The disk has no room left.
    """
    with TemporaryFile(dir=settings.SPOOL_DIR) as copy:
        for chunk in packed:
            copy.write(chunk)
        copy.flush()
        _check_size(cabinet, copy.tell())
        with TemporaryFile(dir=settings.SPOOL_DIR) as content:
            _unpack(cabinet, copy, content)
            yield content


def _check_size(cabinet: Cabinet, packed_size: int) -> None:
    config = options()
    if cabinet.size > config.symbol_max_bytes:
        raise TooLarge(f"the file in it has {cabinet.size} bytes, at most {config.symbol_max_bytes}")
    if cabinet.size > max(SMALL_BYTES, packed_size * config.upload_max_ratio):
        raise TooLarge(f"the file in it has more than {config.upload_max_ratio} times its size")


def _unpack(cabinet: Cabinet, packed: BinaryIO, content: BinaryIO) -> None:
    engine = find_engine()
    if engine is None:
        raise Malformed("no engine for native files is installed")
    unchecked = 0
    with closing(unpack_cabinet(engine, packed, LIMITS)) as chunks:
        for chunk in chunks:
            content.write(chunk)
            # The size is checked before the work begins, and here: the program reads the headers, too.
            if content.tell() > cabinet.size:
                break
            unchecked += len(chunk)
            if unchecked > CHECKED_BYTES:
                storage_services.disk_space().check()
                unchecked = 0
    if content.tell() != cabinet.size:
        raise Malformed(f"the CAB file does not have the {cabinet.size} bytes that it declares")
    content.flush()
