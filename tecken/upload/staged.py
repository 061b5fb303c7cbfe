"""Staged files, copied to this machine: obstore cannot read one object to write another one of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

from django.conf import settings

from tecken.storage import services as storage_services
from tecken.storage.backends.staging import Slot

CHUNK_BYTES = 1 << 20


@contextmanager
def staged(slot: Slot) -> Iterator[BinaryIO]:
    """Without a name, so it goes with the process. Raises Absent or CouldNotAsk."""
    with TemporaryFile(dir=settings.SPOOL_DIR) as spool:
        with storage_services.staging().read(slot) as chunks:
            for chunk in chunks:
                spool.write(chunk)
        yield spool


def chunks(spool: BinaryIO) -> Iterator[bytes]:
    """From the start, each time."""
    spool.seek(0)
    while chunk := spool.read(CHUNK_BYTES):
        yield chunk
