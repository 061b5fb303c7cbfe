"""The engine gives the results of the Python form, byte for byte, for every symbol file and every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from io import BytesIO
from itertools import count

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecken.errors import Malformed, MalformedPageFile
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.frame_lookup import EngineTerms, ModuleSearch, Terms
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Section
from tecken.symbols.pagefile.page import encode
from tests.symbolication.memory import CPP, RUST, C, PageFile, sample
from tests.symbols.generate import Draw, sym_files
from tests.symbols.packing import pack

pytestmark = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built: make engine")
VERSIONS = (V4(), V5())
OFFSETS = frozenset(range(0x60)) | {-1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 70}
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def converted(sym: bytes) -> PageFile:
    pages = BytesIO()
    writer = PageFileWriter(BytesIO(), pages)
    writer.feed(sym)
    header = writer.finish()
    return PageFile(header, header.raw + pages.getvalue())


def now() -> float:
    return 0.0


def searches(
    version: ApiVersion, clock: Callable[[], float] = now, end: float = 0.0
) -> list[Callable[[Header, Set[int]], ModuleSearch[bytes]]]:
    def plain(offset: int) -> bytes:
        return version.fragment(offset, None)

    compiled = EngineTerms(
        version.name, version.has_places, clock, end, plain, lambda: float("inf"), lambda _: None
    )
    return [Terms(version.fragment, lambda: clock() > end, version.has_places).search, compiled.search]


def frames(
    file: PageFile, offsets: Set[int], search: Callable[[Header, Set[int]], ModuleSearch[bytes]]
) -> Mapping[int, bytes] | str:
    """Return the rendered frames, or the error of a malformed page."""
    it = search(file.header, offsets)
    try:
        assert not it.find([file.page(number) for number in it.pages])
        return it.render([file.page(number) for number in it.name_pages])[0]
    except MalformedPageFile as error:
        # zstd's errors have other words in each form.
        return str(error).partition(": ")[0] if "decompress" in str(error) else str(error)


def assert_same(file: PageFile, offsets: Set[int] = OFFSETS) -> None:
    for version in VERSIONS:
        in_python, compiled = (frames(file, offsets, search) for search in searches(version))
        assert in_python == compiled


@given(sym_files())
@slow
def test_engine_well_formed_files_give_the_same_frames(sym: bytes) -> None:
    assert_same(converted(sym))


@pytest.mark.parametrize("module", [C, CPP, RUST])
def test_engine_real_modules_give_the_same_frames(module: ObjectId) -> None:
    file = converted(sample(module))
    assert_same(file, frozenset(range(0x2800)))
    for offset in range(0x1000, 0x1800):
        assert_same(file, frozenset([offset]))


WORDS = rb"""
FUNC PUBLIC INLINE FILE INLINE_ORIGIN STACK m 0 1 2 3 4 5 8 9 a 10 1f 20 30 40 -1 -8 +4 0x10 0X8 1_0 _1 1_
00000008 000000000000000000000008 0000000000000000000000000000000000008 ffffffff 100000000 123456789abcdef
1234567890abcdef1 4294967295 4294967296 99999999999999999999 ffffffffffffffffffffffff zz f operator< \x "
"""
ODD = (
    b"",
    b"\x01",
    b"\x1c",
    b"\xff",
    b"\xe9",
    b"\x85",
    b"\xa0",
    b"\xe2\x80\x83",
    b"\xed\xa0\x80",
    b"\xf0\x80",
)
WORD = st.sampled_from((*WORDS.split(), *ODD))
LINE = st.lists(WORD, max_size=9).map(b" ".join)
NUMBER = st.integers(0, 0x48).map(lambda number: b"%x" % number)
SMALL = st.integers(0, 3).map(lambda number: b"%d" % number)
RUN = st.lists(st.tuples(NUMBER, SMALL, SMALL).map(b" ".join), min_size=1, max_size=4)
RECORD = st.one_of(
    LINE,
    st.tuples(NUMBER, RUN.map(b" ".join)).map(b" ".join),
    st.tuples(st.just(b"INLINE"), SMALL, SMALL, SMALL, SMALL, NUMBER, NUMBER, NUMBER, NUMBER).map(b" ".join),
    st.tuples(st.just(b"INLINE"), SMALL, SMALL, SMALL, SMALL, NUMBER, NUMBER).map(b" ".join),
)
NEWLINE = st.sampled_from((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\x0b", b" "))


def texts(count: int = 12) -> st.SearchStrategy[bytes]:
    """Generate records of any kind."""
    return st.lists(st.tuples(RECORD, NEWLINE).map(b"".join), max_size=count).map(b"".join)


HEAD = b"MODULE Linux x86_64 4FB5EFB2CE6C9F4C7A94D6E3A8C5FFA50 a.out\n"
FILES = b"FILE 0 a.c\nFILE 1 \x1c b\xff \xa0\nFILE 2 \n"
ORIGINS = b'INLINE_ORIGIN 0 f"\\\x01\nINLINE_ORIGIN 1 \xe2\x80\x83x\nINLINE_ORIGIN 3 \xf0\x80\x80\n'


@given(st.lists(st.tuples(NUMBER, NUMBER, texts()), min_size=1, max_size=4))
@slow
def test_engine_malformed_files_give_the_same_frames(blocks: Sequence[tuple[bytes, bytes, bytes]]) -> None:
    funcs = [b"FUNC %b %b 0 f%d\n%b" % (start, size, i, text) for i, (start, size, text) in enumerate(blocks)]
    try:
        file = converted(HEAD + FILES + ORIGINS + b"".join(funcs))
    except Malformed:
        return
    assert_same(file)
    for offset in range(0, 0x50, 3):
        assert_same(file, frozenset([offset]))


NO_FACTS = Metadata("a", "1", "", "", "", "", "", 0, 0, {})


def page_file(pages: Sequence[tuple[Section, int, bytes]]) -> PageFile:
    """Return a page file of pages that are compressed already."""
    out = BytesIO()
    writer = PageWriter(out)
    for section, first_key, page in pages:
        writer.add(section, first_key, page)
    header = writer.header(NO_FACTS, b"")
    return PageFile(header, header.raw + out.getvalue())


KEYS = st.lists(st.integers(0, 0x50) | st.sampled_from((1 << 31, (1 << 32) - 1)), max_size=6)
SYMBOL = st.one_of(
    st.tuples(st.just(b"FUNC"), NUMBER, NUMBER, NUMBER, texts(6)).map(b" ".join),
    st.tuples(st.just(b"PUBLIC"), NUMBER, NUMBER, WORD).map(b" ".join),
    texts(4),
)


@st.composite
def raw_pages(draw: Draw, text: st.SearchStrategy[bytes]) -> bytes:
    """Generate pages whose texts contradict the keys; some are damaged."""
    keys = sorted(draw(KEYS))
    texts = [draw(text) for _ in keys]
    # Some blocks are packed.
    raw = bytearray(encode(keys, [pack(text) or text for text in texts] if draw(st.booleans()) else texts))
    for _ in range(draw(st.sampled_from((0, 0, 0, 0, 1, 3)))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@given(st.lists(raw_pages(SYMBOL), min_size=1, max_size=2), raw_pages(WORD), raw_pages(WORD), st.data())
@slow
def test_engine_arbitrary_pages_give_the_same_frames(
    symbols: Sequence[bytes], files: bytes, origins: bytes, data: st.DataObject
) -> None:
    compress = zstandard.compress
    pages = [(Section.SYMBOLS, data.draw(st.integers(0, 0x40)), compress(page)) for page in symbols]
    names = [(Section.FILES, 0, compress(files)), (Section.ORIGINS, 0, compress(origins))]
    assert_same(page_file([*pages, *names]))


@given(st.binary(max_size=80), st.booleans())
def test_engine_arbitrary_bytes_as_a_page_give_the_same_error(raw: bytes, is_packed: bool) -> None:
    packed = zstandard.compress(raw) if is_packed else raw
    assert_same(page_file([(Section.SYMBOLS, 0, packed), (Section.FILES, 0, packed)]))


def test_engine_pages_loaded_together_are_those_loaded_alone() -> None:
    file = converted(sample(CPP))
    packed = [file.raw[slice(*file.header.span(number))] for number in range(file.header.page_count)]
    together = file.header.load(packed)
    assert len(packed) > 1
    for number, page in enumerate(together):
        loaded, decoded = file.header.unpack(page), file.header.open(packed[number])
        assert list(loaded.keys) == list(decoded.keys)
        assert [*map(loaded.record, range(len(loaded.keys)))] == [
            *map(decoded.record, range(len(decoded.keys)))
        ]


def test_engine_one_malformed_page_refuses_all_that_are_loaded_with_it() -> None:
    file = converted(sample(C))
    packed = [file.raw[slice(*file.header.span(number))] for number in range(file.header.page_count)]
    with pytest.raises(MalformedPageFile):
        file.header.load([*packed, b"damaged"])


def test_engine_bytes_after_a_page_are_ignored_in_both_forms() -> None:
    packed = zstandard.compress(encode([0], [b"FUNC 0 8 0 f"]))
    for tail in (b"tail", packed):
        assert_same(page_file([(Section.SYMBOLS, 0, packed + tail)]))


def results_within(steps: int, version: ApiVersion, form: int) -> object:
    """Return the results of a search whose clock passes the deadline after `steps` readings."""
    file = converted(sample(C))
    clock = count()
    it = searches(version, lambda: next(clock), steps - 1)[form](file.header, frozenset(range(4613, 4618)))
    is_late = it.find([file.page(number) for number in it.pages])
    return is_late, it.render([file.page(number) for number in it.name_pages])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("steps", range(12))
def test_engine_deadline_ends_both_forms_at_the_same_frame(steps: int, version: ApiVersion) -> None:
    assert results_within(steps, version, 0) == results_within(steps, version, 1)


def test_engine_frames_over_the_bound_end_the_rendering() -> None:
    file = converted(sample(C))
    sizes: list[int] = []
    terms = EngineTerms("v5", True, now, 0.0, lambda _: b"", lambda: 300.0, sizes.append)
    it = terms.search(file.header, frozenset(range(4613, 4700)))
    it.find([file.page(number) for number in it.pages])
    found, _ = it.render([file.page(number) for number in it.name_pages])
    assert sum(map(len, found.values())) == sizes[0]
    assert 300 < sizes[0] < 1000
