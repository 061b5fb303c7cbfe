"""Program of test_fleet: a process in which some threads convert the same two modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tecken import redisclient
from tecken.errors import NotFound
from tecken.redisclient.guard import RedisGuard
from tecken.storage.services import page_files_for
from tecken.store.page_store import RedisPageStore
from tecken.symbolication.conversion.converter import Converter, MissingLifetimes
from tecken.symbolication.conversion.lock import RedisConversionLock
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tests.symbolication.samples import MIB, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
ABSENT = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


class Logged:
    """Source with the symbols of XUL that logs each request."""

    name = "logged"

    def __init__(self, log: Path) -> None:
        self._log = log

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        with self._log.open("a") as log:
            log.write(f"{module}\n")
        if module != XUL:
            raise NotFound(f"logged has no {module}")
        yield iter([sym(module)])


def converter(url: str, directory: Path) -> Converter:
    client = redisclient.client(url, timeout=5, connect_timeout=5)
    return Converter(
        source=Logged(directory / "log"),
        stamp=str,
        page_files=page_files_for(f"file://{directory}/storage"),
        store=RedisPageStore(client),
        lock=RedisConversionLock(client, RedisGuard("redis-cache")),
        conversion=Conversion(lambda: MIB),
        lifetimes=lambda: MissingLifetimes(600, 600, 600),
    )


if __name__ == "__main__":
    ours = converter(sys.argv[1], Path(sys.argv[2]))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ours.convert, [XUL, ABSENT] * 4))
    print(len(answers))
