from __future__ import annotations

from pathlib import Path

import pytest

from tecken.errors import NotFound, Unavailable
from tecken.storage.port import FetchLimits
from tecken.storage.services import own_files_for, page_files_for, upstream_for, upstreams_for
from tecken.storage.source_chain import SourceChain
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


def chain_for(urls: list[str]) -> SourceChain:
    return SourceChain(upstreams_for(urls, FetchLimits, tuple))


def test_chain_for_urls_has_their_names_without_credentials(tmp_path: Path) -> None:
    urls = ["https://user:secret@symbols.example/prefix", tmp_path.as_uri(), "gs://bucket/prefix"]
    chain = chain_for(urls)
    assert chain.name == f"https://symbols.example/prefix/, {tmp_path.as_uri()}, gs://bucket/prefix"
    assert isinstance(upstream_for(urls[0]), SymbolFileUpstream)


def test_chain_for_upstream_directory_reads_paths_without_prefix(tmp_path: Path) -> None:
    file = tmp_path / "xul.pdb" / MODULE.debug_id / "xul.sym"
    file.parent.mkdir(parents=True)
    text = b"MODULE windows x86_64 %s xul.pdb\n" % MODULE.debug_id.encode()
    file.write_bytes(text)
    with chain_for([(tmp_path / "absent").as_uri(), tmp_path.as_uri()]).open(MODULE) as chunks:
        assert list(chunks) == [text]


def test_upstream_for_missing_directory_is_could_not_ask(tmp_path: Path) -> None:
    with pytest.raises(Unavailable), upstream_for((tmp_path / "absent").as_uri()).open(MODULE):
        pass


def test_own_files_for_new_directory_creates_the_v1_layout(tmp_path: Path) -> None:
    url = (tmp_path / "storage").as_uri()
    files, pages = own_files_for(url), page_files_for(url)
    with pytest.raises(NotFound):
        files.stat(symbol_file(MODULE))
    with pytest.raises(NotFound):
        pages.read(MODULE, [(0, 1)])
    files.put(symbol_file(MODULE), [b"MODULE"])
    pages.write(MODULE, [b"pages"])
    kept = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert kept == [f"storage/pages/{MODULE}", f"storage/v1/{MODULE}/xul.sym"]


def test_chain_for_invalid_url_raises() -> None:
    with pytest.raises(ValueError, match="gopher://host/"):
        chain_for(["https://symbols.example/", "gopher://host/"])
