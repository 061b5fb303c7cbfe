from __future__ import annotations

import pytest

from tecken.errors import NotFound, SourceDisabled, Unavailable
from tecken.storage.backends.memory import MemorySymbols
from tecken.storage.source_chain import SourceChain, SwitchableSource
from tecken.symbols.ids import ObjectId

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
URL = "https://user:secret@symbols.example/try/"
NAME = "https://symbols.example/try/"
HERE = MemorySymbols({MODULE: b"here"}, name=NAME)
NOWHERE = MemorySymbols(name="nowhere")
DOWN = MemorySymbols({MODULE: Unavailable("down: 500")}, name="down")


@pytest.mark.parametrize(
    ("off", "is_off"),
    [
        ((), False),
        (("",), False),
        (("other.example",), False),
        ((URL,), True),
        ((NAME,), True),
        (("other.example", "symbols.example"), True),
    ],
)
def test_switched_is_off_for_a_part_of_url_or_name(off: tuple[str, ...], is_off: bool) -> None:
    assert SwitchableSource(HERE, URL, lambda: off).is_off == is_off


def test_switched_open_follows_changes_of_the_option() -> None:
    off: list[str] = []
    source = SwitchableSource(HERE, URL, lambda: off)
    with source.open(MODULE) as chunks:
        assert b"".join(chunks) == b"here"
    off.append(NAME)
    with pytest.raises(SourceDisabled, match=f"^{NAME} is switched off$"), source.open(MODULE):
        pytest.fail("opened")
    off.clear()
    with source.open(MODULE) as chunks:
        assert b"".join(chunks) == b"here"


def test_chain_open_with_a_disabled_source_is_switched_off() -> None:
    with (
        pytest.raises(SourceDisabled, match=f"is not in {NAME}, nowhere; {NAME} is switched off$"),
        SourceChain([SwitchableSource(HERE, URL, lambda: [NAME]), NOWHERE]).open(MODULE),
    ):
        pytest.fail("opened")


def test_chain_open_skips_a_disabled_source() -> None:
    with SourceChain([SwitchableSource(HERE, URL, lambda: [NAME]), HERE]).open(MODULE) as chunks:
        assert b"".join(chunks) == b"here"


def test_chain_open_with_disabled_and_unavailable_sources_is_could_not_ask() -> None:
    with (
        pytest.raises(Unavailable) as told,
        SourceChain([SwitchableSource(HERE, URL, lambda: [NAME]), DOWN]).open(MODULE),
    ):
        pytest.fail("opened")
    assert not isinstance(told.value, NotFound)
