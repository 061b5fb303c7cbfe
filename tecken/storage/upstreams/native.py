"""Native files of upstreams: fetched, unpacked and checked in files without a name, then read by an engine.

Nothing of them stays. The files end with the block in which they are open, whatever happens, and the page
file that is made of their text is all that is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

from django.conf import settings

from tecken.errors import Malformed, NotAsked, TooLarge, Unavailable, is_disk_full
from tecken.storage.cabinets import CHECKED_BYTES, UnpackRules, open_unpacked
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import DumpEngine, dump, name_code_file
from tecken.storage.port import NativeText
from tecken.storage.upstreams.symbol_files import check_symbols
from tecken.storage.upstreams.transport import FileTransport
from tecken.symbols.decompression import SMALL_BYTES, decompress
from tecken.symbols.formats import FileReader, identify
from tecken.symbols.formats.base import ObjectInfo
from tecken.symbols.formats.cabinet import read_cabinet
from tecken.symbols.formats.elf import Elf
from tecken.symbols.formats.macho import MachO
from tecken.symbols.formats.pdb import Pdb
from tecken.symbols.formats.pe import Pe
from tecken.symbols.ids import GUID_DIGITS, normal_debug_id
from tecken.symbols.layouts import FileType


class IdCheck(NamedTuple):
    """Format of a file, the name of its id in words, and the id in the form of `layouts.Identity`."""

    format: str
    title: str
    id_name: str
    find_id: Callable[[ObjectInfo], str]


_ELF: Final = IdCheck(Elf.name, "ELF", "build id", lambda info: info.build_id)
_MACHO: Final = IdCheck(MachO.name, "Mach-O", "UUID", lambda info: info.debug_id[:GUID_DIGITS].lower())
CHECKS: Final[Mapping[FileType, IdCheck]] = {
    FileType.PDB: IdCheck(Pdb.name, "PDB", "debug id", lambda info: normal_debug_id(info.debug_id)),
    FileType.PE: IdCheck(Pe.name, "PE", "code id", lambda info: info.code_id.upper()),
    FileType.DEBUG_ONLY: _ELF,
    FileType.ELF: _ELF,
    FileType.DSYM: _MACHO,
    FileType.MACHO: _MACHO,
}


class FetchedFile(NamedTuple):
    """Native file in a file without a name, and the object that it was requested for.

    `arch` chooses that object in a file for several processors; it is empty for other files.
    """

    content: BinaryIO
    info: ObjectInfo
    arch: str = ""


class NativeReader:
    """Reader of the native files of one upstream.

    Args:
        transport: The server, bucket or directory.
        engine: The program that writes the text; None where none is installed.
        rules: Returns the limits in force for each file.
    """

    def __init__(
        self, transport: FileTransport, engine: DumpEngine | None, rules: Callable[[], UnpackRules]
    ) -> None:
        self.name = transport.name
        self.transport = transport
        self._engine = engine
        self._rules = rules

    @contextmanager
    def fetch(
        self, path: str, file_type: FileType, some_id: str, ends: float = math.inf
    ) -> Iterator[FetchedFile]:
        """Fetch a native file of a type, plain, compressed or in a CAB file.

        `some_id` is that of `layouts.Identity`, `ends` the deadline of `FileTransport.get`.

        Raises:
            NotFound: The server does not have it, or does not give it.
            Unavailable: The server did not answer, or the disk has no room left.
            TooLarge: It exceeds a limit, as sent or unpacked.
            Malformed: It is no file of this type, or has another id.

        Errors of the block about a file that cannot be used get the name of the upstream, too.
        """
        with self._errors(), TemporaryFile(dir=settings.SPOOL_DIR) as copy:
            rules = self._rules()
            self._receive(path, copy, rules, ends)
            with _open_plain(copy, rules) as content:
                yield _identify(content, CHECKS[file_type], some_id)

    @contextmanager
    def open_symbols(self, path: str, debug_id: str, ends: float = math.inf) -> Iterator[NativeText]:
        """Fetch a symbol file, as `SymbolSource.open` does. Raises Malformed."""
        with self.transport.get(path, ends) as chunks:
            yield NativeText(check_symbols(chunks, debug_id, self.name), None, debug_id)

    @contextmanager
    def open_text(
        self,
        file: FetchedFile,
        name: str,
        others: Mapping[str, BinaryIO] = MappingProxyType({}),
        code_file: str = "",
    ) -> Iterator[NativeText]:
        """Write the text of a file whose module has a name, as `SymbolSource.open` does.

        `others` are further files of the module, as in `dump`; `code_file` is the name of a PE file.
        """
        assert self._engine
        dumping = partial(dump, self._engine, file.content, name, file.arch, ChildLimits(), others=others)

        def write(offsets: Iterable[int] = ()) -> Generator[bytes]:
            with closing(dumping(offsets=offsets)) as text:
                yield name_code_file(next(text, b""), code_file) if code_file else next(text, b"")
                yield from text

        size = sum(content.seek(0, 2) for content in (file.content, *others.values()))
        with closing(write()) as whole:
            part = write if self._engine.has_parts else None
            yield NativeText(whole, part, normal_debug_id(file.info.debug_id), file.info.format, size)

    def check_engine(self) -> None:
        """Raise NotAsked where no engine could read a file, so that none is fetched."""
        if self._engine is None:
            raise NotAsked(f"{self.name}: not asked, no engine for native files is installed")

    def close(self) -> None:
        """Close idle connections."""
        self.transport.close()

    def _receive(self, path: str, copy: BinaryIO, rules: UnpackRules, ends: float) -> None:
        rules.check_disk()
        unchecked = 0
        with self.transport.get(path, ends) as chunks:
            meter = _Meter(chunks)
            for chunk in decompress(meter, rules.max_bytes):
                copy.write(chunk)
                if copy.tell() > max(SMALL_BYTES, meter.received * rules.max_ratio):
                    raise TooLarge(f"the file has more than {rules.max_ratio} times its packed size")
                unchecked += len(chunk)
                if unchecked > CHECKED_BYTES:
                    rules.check_disk()
                    unchecked = 0
        copy.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Put the name of the upstream before each reason why its file cannot be used."""
        try:
            yield
        except (Malformed, TooLarge) as error:
            text = str(error)
            raise type(error)(text if text.startswith(self.name) else f"{self.name}: {text}") from None
        except OSError as error:
            if is_disk_full(error):
                raise Unavailable(f"no room for a file of an upstream: {error}") from error
            raise


@contextmanager
def _open_plain(copy: BinaryIO, rules: UnpackRules) -> Iterator[BinaryIO]:
    """Give the file, or the one in it if it is a CAB file."""
    size = copy.tell()
    cabinet = read_cabinet(FileReader(copy, size))
    if cabinet is None:
        yield copy
        return
    with open_unpacked(cabinet, copy, size, rules) as content:
        yield content


def _identify(content: BinaryIO, check: IdCheck, some_id: str) -> FetchedFile:
    """Return the file for the object with an id. Raises Malformed for a file without it."""
    objects = identify(FileReader(content, content.seek(0, 2)))
    if not objects or any(info.format != check.format for info in objects):
        raise Malformed(f"the file that it has sent is no {check.title} file")
    for info in objects:
        if check.find_id(info) == some_id:
            return FetchedFile(content, info, info.arch if len(objects) > 1 else "")
    found = ", ".join(check.find_id(info) or "none" for info in objects)
    raise Malformed(f"the {check.title} file that it has sent has the {check.id_name} {found}, not {some_id}")


class _Meter:
    """Iterator of chunks that counts their bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.received = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self.received += len(chunk)
        return chunk
