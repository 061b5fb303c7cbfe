"""A symbol file as stored -> a page file, on disk only for as long as somebody needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast

from tecken.errors import CouldNotAsk
from tecken.symbols.convert import Converter, decoded
from tecken.symbols.pagefile import Header

COPY_BYTES = 1024 * 1024


class Converted(NamedTuple):
    header: Header
    pages: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """The page file."""
        self.pages.seek(0)
        return chain([self.header.raw], iter(partial(self.pages.read, COPY_BYTES), b""))


class Conversion:
    """`max_bytes()` bounds one symbol file, unpacked, and so each of two nameless files in `spool_dir`."""

    def __init__(self, max_bytes: Callable[[], int], spool_dir: str | None = None) -> None:
        self._max_bytes = max_bytes
        self._spool_dir = spool_dir

    def text(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Unpacked, from plain, gzip or zstd. Raises Malformed, TooMuch, and what `chunks` raises."""
        return decoded(chunks, self._max_bytes())

    @contextmanager
    def of(self, chunks: Iterable[bytes]) -> Iterator[Converted]:
        """Raises Malformed, TooMuch, CouldNotAsk when the disk is full, and what `chunks` raises."""
        with self._file() as spool, self._file() as pages:
            yield Converted(_convert(self.text(chunks), spool, pages), pages)

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        with _room():
            file = cast(BinaryIO, TemporaryFile(dir=self._spool_dir))  # noqa: SIM115 - closed below
        try:
            yield file
        finally:
            # On a full disk the rest of a buffer fails once more, which must not hide the first error.
            with suppress(OSError):
                file.close()


def _convert(text: Iterable[bytes], spool: BinaryIO, pages: BinaryIO) -> Header:
    converter = Converter(spool, pages)
    for chunk in text:
        with _room():
            converter.feed(chunk)
        if converter.complete:  # what follows is for unwinders: it need not even be fetched
            break
    with _room():
        header = converter.finish()
        # Else a full disk would be met only when the pages are read, and count as a fault of this program.
        pages.flush()
    return header


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CouldNotAsk(f"no room to convert in: {error}") from error
