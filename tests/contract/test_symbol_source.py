"""Contract of SymbolSource in every implementation."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tecken.errors import NotFound, TooLarge
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.files import OwnSymbols
from tecken.storage.backends.memory import MemoryFiles, MemorySymbols
from tecken.storage.port import FetchLimits, SymbolSource
from tecken.storage.upstreams.bucket import BucketTransport
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType, symbol_file
from tests.support.http_upstream import HttpUpstream, Reply
from tests.support.symbol_names import ODD_NAMES

pytest_plugins = ["tests.support.upstreams"]

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
TEXT = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\n" + b"FUNC 1000 10 0 f\n" * 200_000
NAMED = b"MODULE Linux x86_64 %s x\n" % (b"A" * 33)
LIMIT = 8 << 20
LIMITED = partial(FetchLimits, max_bytes=LIMIT)


class Place(NamedTuple):
    """A source, and how its operator puts a file there."""

    source: SymbolSource
    put: Callable[[ObjectId, bytes], None]


def path_of(module: ObjectId) -> str:
    return f"{module}/{FileType.SYMBOL_FILE.file_name(module.debug_file)}"


@pytest.fixture
def memory() -> Place:
    source = MemorySymbols()
    return Place(source, source.files.__setitem__)


@pytest.fixture
def local(tmp_path: Path) -> Place:
    def put(module: ObjectId, stored: bytes) -> None:
        path = tmp_path / path_of(module)
        path.parent.mkdir(parents=True)
        path.write_bytes(stored)

    bucket = bucket_for(tmp_path.as_uri(), create=False)
    return Place(SymbolFileUpstream(BucketTransport(bucket, LIMITED)), put)


@pytest.fixture
def s3(request: pytest.FixtureRequest) -> Place:
    bucket = bucket_for(f"s3://{request.getfixturevalue('s3_bucket').name}/symbols", create=False)
    source = SymbolFileUpstream(BucketTransport(bucket, LIMITED))
    return Place(source, lambda module, stored: bucket.put(path_of(module), [stored]))


@pytest.fixture
def http(upstream: HttpUpstream) -> Iterator[Place]:
    def put(module: ObjectId, stored: bytes) -> None:
        upstream.script[f"/pre fix/{path_of(module)}"] = Reply(body=stored)

    source = SymbolFileUpstream(HttpTransport(f"{upstream.url}pre%20fix/", LIMITED))
    yield Place(source, put)
    source.close()


@pytest.fixture
def own() -> Place:
    files = MemoryFiles()
    return Place(
        OwnSymbols(files), lambda module, stored: files.files.__setitem__(symbol_file(module), stored)
    )


@pytest.fixture(params=["memory", "own", "local", "s3", "http"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def whole(source: SymbolSource, module: ObjectId) -> bytes:
    with source.open(module) as chunks:
        return b"".join(chunks)


def test_source_fetch_returns_the_stored_bytes(place: Place) -> None:
    for number, stored in enumerate((TEXT, gzip.compress(TEXT, 1), TEXT.splitlines()[0])):
        module = ObjectId.parse(f"{number}.pdb", MODULE.debug_id)
        place.put(module, stored)
        assert whole(place.source, module) == stored


def test_source_fetch_returns_a_large_file_in_pieces(place: Place) -> None:
    place.put(MODULE, TEXT)
    with place.source.open(MODULE) as chunks:
        first = next(chunks)
        assert isinstance(first, bytes)
        assert 0 < len(first) < len(TEXT)


def test_source_unknown_module_is_absent(place: Place) -> None:
    place.put(MODULE, TEXT)
    with pytest.raises(NotFound), place.source.open(ObjectId.parse("xul.pdb", "0" * 33)):
        pass


@pytest.mark.parametrize("name", ODD_NAMES)
def test_source_unusual_names_are_found(place: Place, name: str) -> None:
    module = ObjectId.parse(name, "A" * 33)
    place.put(module, NAMED + name.encode())
    assert whole(place.source, module) == NAMED + name.encode()


def test_source_name_too_long_for_storage_is_absent(place: Place) -> None:
    place.put(MODULE, TEXT)
    with pytest.raises(NotFound), place.source.open(ObjectId.parse("x" * 1024, "A" * 33)):
        pass


def test_source_fetch_stopped_early_can_be_repeated(place: Place) -> None:
    place.put(MODULE, TEXT)
    with place.source.open(MODULE) as chunks:
        next(chunks)
    assert whole(place.source, MODULE) == TEXT


def test_source_error_of_the_consumer_is_raised(place: Place) -> None:
    place.put(MODULE, TEXT)
    with pytest.raises(KeyError, match="mine"), place.source.open(MODULE):
        raise KeyError("mine")


@pytest.mark.parametrize("kind", ["local", "s3", "http"])
def test_source_file_over_the_limit_is_too_large(request: pytest.FixtureRequest, kind: str) -> None:
    place: Place = request.getfixturevalue(kind)
    place.put(MODULE, b"x" * (LIMIT + 1))
    with pytest.raises(TooLarge, match=str(LIMIT)), place.source.open(MODULE):
        pass
