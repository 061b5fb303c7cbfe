"""Servers of native files, and the upstreams that ask them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tecken.storage.cabinets import UnpackRules
from tecken.storage.dump import find_engine
from tecken.storage.port import FetchLimits
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.layouts import LAYOUTS
from tecken.storage.upstreams.native import NativeReader
from tecken.storage.upstreams.native_upstream import NativeUpstream
from tecken.storage.upstreams.transport import FileTransport
from tecken.symbols.ids import ObjectId
from tests.support.http_upstream import HttpUpstream
from tests.upload.natives import ARM_ID, BUILD_ID, ELF_ID, WINDOWS_ID

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

    make: Callable[..., NativeUpstream]
    make_symsrv: Callable[..., NativeUpstream]
    make_debuginfod: Callable[..., NativeUpstream]
    open_files: Callable[[], list[str]]


@contextmanager
def natives_of(upstream: HttpUpstream, spool: Path) -> Iterator[Natives]:
    """Give the upstreams; the setting SPOOL_DIR must be `spool`."""

    def open_files() -> list[str]:
        """Return files with and without a name: the latter are found by their descriptors."""
        targets = []
        for number in os.listdir("/proc/self/fd"):
            # The descriptor of this very list is closed by now; the upstream's thread closes others.
            with suppress(FileNotFoundError):
                targets.append(os.readlink(f"/proc/self/fd/{number}"))
        return [*os.listdir(spool), *(target for target in targets if target.startswith(f"{spool}/"))]

    with ExitStack() as made:

        def make(
            scheme: str,
            *build_ids: str,
            limits: FetchLimits = LIMITS,
            check_disk: Callable[[], None] = lambda: None,
            transport: FileTransport | None = None,
        ) -> NativeUpstream:
            rules = UnpackRules(limits.max_bytes, RATIO, check_disk)
            found: Sequence[str] = build_ids or [BUILD_ID]
            if transport is None:
                transport = HttpTransport(upstream.url, lambda: limits)
                made.callback(transport.close)
            reader = NativeReader(transport, find_engine(), lambda: rules)
            # The module of macOS has no build id.
            return NativeUpstream(
                LAYOUTS[scheme], reader, lambda debug_id: [] if debug_id == ARM_ID else found
            )

        yield Natives(make, partial(make, "symsrv"), partial(make, "debuginfod"), open_files)
