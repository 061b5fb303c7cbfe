"""Native files of upstreams: fetched, unpacked and checked in files without a name, then read by an engine.

Nothing of them stays. The files end with the block in which they are open, whatever happens, and the page
file that is made of their text is all that is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from django.conf import settings

from tecken.errors import Malformed, NotAsked, TooLarge, Unavailable, is_disk_full
from tecken.storage.cabinets import CHECKED_BYTES, UnpackRules, open_unpacked
from tecken.storage.dump import DumpEngine, DumpLimits, dump, name_code_file
from tecken.storage.port import NativeText
from tecken.storage.upstreams.http import HttpTransport
from tecken.symbols.decompression import SMALL_BYTES, decompress
from tecken.symbols.formats import FileReader, identify
from tecken.symbols.formats.base import ObjectInfo
from tecken.symbols.formats.cabinet import read_cabinet
from tecken.symbols.ids import normal_debug_id


class FetchedFile(NamedTuple):
    """Native file in a file without a name, and the object that its content names."""

    content: BinaryIO
    info: ObjectInfo


class NativeReader:
    """Reader of the native files of one upstream.

    Args:
        transport: The server.
        engine: The program that writes the text; None where none is installed.
        rules: Returns the limits in force for each file.
    """

    def __init__(
        self, transport: HttpTransport, engine: DumpEngine | None, rules: Callable[[], UnpackRules]
    ) -> None:
        self.name = transport.name
        self._transport = transport
        self._engine = engine
        self._rules = rules

    @contextmanager
    def fetch(self, path: str, format_name: str) -> Iterator[FetchedFile]:
        """Fetch a file of a format, plain, compressed or in a CAB file.

        Raises:
            NotFound: The server does not have it, or does not give it.
            Unavailable: The server did not answer, or the disk has no room left.
            TooLarge: It exceeds a limit, as sent or unpacked.
            Malformed: It is no file of this format.

        Errors of the block about a file that cannot be used get the name of the upstream, too.
        """
        with self._errors(), TemporaryFile(dir=settings.SPOOL_DIR) as copy:
            rules = self._rules()
            self._receive(path, copy, rules)
            with _open_plain(copy, rules) as content:
                yield FetchedFile(content, _identify(content, format_name))

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
        dumping = partial(dump, self._engine, file.content, name, "", DumpLimits(), others=others)

        def write(offsets: Iterable[int] = ()) -> Generator[bytes]:
            with closing(dumping(offsets=offsets)) as text:
                yield name_code_file(next(text, b""), code_file) if code_file else next(text, b"")
                yield from text

        with closing(write()) as whole:
            part = write if self._engine.has_parts else None
            yield NativeText(whole, part, normal_debug_id(file.info.debug_id))

    def check_engine(self) -> None:
        """Raise NotAsked where no engine could read a file, so that none is fetched."""
        if self._engine is None:
            raise NotAsked(f"{self.name}: not asked, no engine for native files is installed")

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def _receive(self, path: str, copy: BinaryIO, rules: UnpackRules) -> None:
        rules.check_disk()
        unchecked = 0
        with self._transport.get(path) as chunks:
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


def _identify(content: BinaryIO, format_name: str) -> ObjectInfo:
    objects = identify(FileReader(content, content.seek(0, 2)))
    if len(objects) != 1 or objects[0].format != format_name:
        raise Malformed(f"the file that it has sent is no {format_name.upper()} file")
    return objects[0]


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
