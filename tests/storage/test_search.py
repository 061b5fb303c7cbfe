from __future__ import annotations

from collections.abc import Sequence

import pytest

from tecken.errors import AccessDenied, Malformed, NotFound, TeckenError, Throttled, TooLarge, Unavailable
from tecken.metrics import SOURCE_LOOKUPS, labelled
from tecken.storage.backends.memory import MemorySymbols
from tecken.storage.lookup_log import SourceResult
from tecken.storage.source_chain import SourceChain
from tecken.symbols.ids import ObjectId

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NOWHERE = MemorySymbols(name="nowhere")
HERE = MemorySymbols({MODULE: b"here"}, name="here")
THERE = MemorySymbols({MODULE: b"there"}, name="there")
DOWN = MemorySymbols({MODULE: Unavailable("down: 500")}, name="down")


def throttled(name: str, seconds: float | None) -> MemorySymbols:
    return MemorySymbols({MODULE: Throttled(f"{name}: 429", retry_after=seconds)}, name=name)


def whole(*sources: MemorySymbols) -> bytes:
    with SourceChain(sources).open(MODULE) as chunks:
        return b"".join(chunks)


def refusal(*sources: MemorySymbols) -> TeckenError:
    with pytest.raises(TeckenError) as told:
        whole(*sources)
    return told.value


def test_chain_open_returns_the_file_of_the_first_source_that_has_it() -> None:
    assert whole(NOWHERE, HERE, THERE) == b"here"


def test_chain_open_skips_unavailable_sources() -> None:
    assert whole(DOWN, throttled("busy", 60), THERE) == b"there"


def test_chain_open_file_absent_everywhere_is_absent() -> None:
    error = refusal(NOWHERE, MemorySymbols(name="neither"))
    assert isinstance(error, NotFound)
    assert "nowhere, neither" in str(error)


def test_chain_open_refused_file_is_absent_with_the_reasons() -> None:
    refusing = MemorySymbols({MODULE: AccessDenied("theirs: refused: 403 Forbidden")}, name="theirs")
    error = refusal(NOWHERE, refusing)
    assert type(error) is NotFound
    assert str(error).endswith("nowhere, theirs; theirs: refused: 403 Forbidden")


def test_chain_open_without_sources_is_absent() -> None:
    assert isinstance(refusal(), NotFound)


def test_chain_open_with_an_unavailable_source_is_never_absent() -> None:
    error = refusal(NOWHERE, DOWN, throttled("busy", 60), NOWHERE)
    assert type(error) is Unavailable
    assert str(error) == "down: 500; busy: 429"
    assert error.retry_after == 60


def test_chain_open_with_throttled_sources_only_is_throttled() -> None:
    error = refusal(NOWHERE, throttled("busy", 60), throttled("busier", 20), throttled("vague", None))
    assert isinstance(error, Throttled)
    assert error.retry_after == 20


def test_chain_open_file_that_cannot_be_used_does_not_hide_the_next() -> None:
    for error in (TooLarge("big"), Malformed("of another build")):
        unusable = MemorySymbols({MODULE: error})
        assert whole(unusable, HERE) == b"here"
        assert refusal(unusable, NOWHERE) is error
        assert isinstance(refusal(unusable, DOWN), Unavailable)


@pytest.mark.parametrize("error", [NotFound("mine"), Unavailable("mine"), KeyError("mine")])
def test_chain_open_error_of_the_consumer_does_not_open_the_next_source(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, SourceChain([HERE, THERE]).open(MODULE):
        raise error
    assert raised.value is error


def test_chain_name_lists_all_sources() -> None:
    assert SourceChain([HERE, THERE]).name == "here, there"


def test_chain_open_reports_the_result_of_each_source() -> None:
    told: list[tuple[str, type[TeckenError] | None]] = []

    def hear(module: ObjectId, results: Sequence[SourceResult]) -> None:
        assert module == MODULE
        told.extend((result.source, type(result.error) if result.error else None) for result in results)

    with SourceChain([NOWHERE, DOWN, HERE, THERE], hear).open(MODULE):
        assert told == [("nowhere", NotFound), ("down", Unavailable), ("here", None)]
    told.clear()
    too_much = MemorySymbols({MODULE: TooLarge("of 9 GB")}, name="large")
    with SourceChain([NOWHERE, too_much, HERE], hear).open(MODULE):
        pass
    assert told == [("nowhere", NotFound), ("large", TooLarge), ("here", None)]


def test_chain_open_counts_the_result_of_each_source() -> None:
    def count(name: str, result: str) -> float:
        return float(labelled(SOURCE_LOOKUPS, name, result)._value.get())

    wanted = [("nowhere", "absent"), ("down", "unreachable"), ("busy", "throttled"), ("here", "there")]
    before = [count(*key) for key in wanted]
    whole(NOWHERE, DOWN, throttled("busy", 60), HERE, THERE)
    assert [count(*key) for key in wanted] == [number + 1 for number in before]
