"""Files in CAB files, unpacked to a file without a name by a child process with limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple

from django.conf import settings

from tecken.errors import Malformed, TooLarge
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import find_engine, unpack_cabinet
from tecken.symbols.decompression import SMALL_BYTES
from tecken.symbols.formats.cabinet import Cabinet

# To unpack a gigabyte takes seconds.
LIMITS: Final = ChildLimits(memory_bytes=1 << 30, cpu_seconds=120, seconds=300.0)
# Bytes between two checks of the free disk space.
CHECKED_BYTES: Final = 64 << 20


class UnpackRules(NamedTuple):
    """Limits of a file that is unpacked. `check_disk` raises Unavailable when no more should be written."""

    max_bytes: int
    max_ratio: int
    """Unpacked bytes for one packed byte."""
    check_disk: Callable[[], None]


@contextmanager
def open_unpacked(cabinet: Cabinet, packed: BinaryIO, size: int, rules: UnpackRules) -> Iterator[BinaryIO]:
    """Open the file in a CAB file of `size` bytes.

    Raises:
        Malformed: The CAB file is broken, or no engine reads it.
        TooLarge: The file in it exceeds a limit.
        Unavailable: The disk has no room left.
    """
    if cabinet.size > rules.max_bytes:
        raise TooLarge(f"the file in it has {cabinet.size} bytes, at most {rules.max_bytes}")
    if cabinet.size > max(SMALL_BYTES, size * rules.max_ratio):
        raise TooLarge(f"the file in it has more than {rules.max_ratio} times its size")
    with TemporaryFile(dir=settings.SPOOL_DIR) as content:
        _unpack(cabinet, packed, content, rules.check_disk)
        yield content


def _unpack(cabinet: Cabinet, packed: BinaryIO, content: BinaryIO, check_disk: Callable[[], None]) -> None:
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
                check_disk()
                unchecked = 0
    if content.tell() != cabinet.size:
        raise Malformed(f"the CAB file does not have the {cabinet.size} bytes that it declares")
    content.flush()
