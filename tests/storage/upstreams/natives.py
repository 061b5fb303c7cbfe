"""Servers of native files, and the upstreams that ask them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tecken.storage.cabinets import UnpackRules
from tecken.storage.dump import DumpEngine, find_engine
from tecken.storage.port import FetchLimits
from tecken.storage.upstreams.debuginfod import DebuginfodUpstream
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.native import NativeReader
from tecken.storage.upstreams.symsrv import SymSrvUpstream
from tecken.symbols.ids import ObjectId
from tests.support.http_upstream import HttpUpstream
from tests.upload.natives import BUILD_ID, ELF_ID, WINDOWS_ID

ELF_MODULE = ObjectId("libnative.so", ELF_ID)
DEBUG_INFO = f"/buildid/{BUILD_ID}/debuginfo"
EXECUTABLE = f"/buildid/{BUILD_ID}/executable"
PDB_MODULE = ObjectId("native.pdb", WINDOWS_ID)
PDB = f"/native.pdb/{WINDOWS_ID}/native.pdb"
PACKED_PDB = f"/native.pdb/{WINDOWS_ID}/native.pd_"
# Of the program that belongs to the PDB.
CODE_MODULE = ObjectId("native.exe", "CF9A71C03000")
CODE = "/native.exe/CF9A71C03000/native.exe"
LIMITS = FetchLimits(timeout=30.0, deadline=60.0, max_bytes=4 << 20)
RATIO = 20


class Natives(NamedTuple):
    """Upstreams of one server; `open_files` returns the files in the spool directory that are open."""

    make_symsrv: Callable[..., SymSrvUpstream]
    make_debuginfod: Callable[..., DebuginfodUpstream]
    open_files: Callable[[], list[str]]


@contextmanager
def natives_of(upstream: HttpUpstream, spool: Path) -> Iterator[Natives]:
    """Give the upstreams; the setting SPOOL_DIR must be `spool`."""

    def open_files() -> list[str]:
        """Return files with and without a name: the latter are found by their descriptors."""
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.lexists(link)]
        return [*os.listdir(spool), *(target for target in targets if target.startswith(f"{spool}/"))]

    with ExitStack() as made:

        def make_reader(
            limits: FetchLimits = LIMITS,
            check_disk: Callable[[], None] = lambda: None,
            engine: DumpEngine | None = None,
        ) -> NativeReader:
            rules = UnpackRules(limits.max_bytes, RATIO, check_disk)
            transport = HttpTransport(upstream.url, lambda: limits)
            made.callback(transport.close)
            return NativeReader(transport, engine or find_engine(), lambda: rules)

        def make_debuginfod(*build_ids: str, **rest: object) -> DebuginfodUpstream:
            found: Sequence[str] = build_ids or [BUILD_ID]
            return DebuginfodUpstream(make_reader(**rest), lambda _debug_id: found)  # type: ignore[arg-type]

        def make_symsrv(**rest: object) -> SymSrvUpstream:
            return SymSrvUpstream(make_reader(**rest))  # type: ignore[arg-type]

        yield Natives(make_symsrv, make_debuginfod, open_files)
