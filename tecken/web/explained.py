"""What an explanation says, in words: the verdict, each place that was asked, all that is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from tecken.errors import CouldNotAsk
from tecken.modules.board import State
from tecken.modules.explain import Cached, Explanation, Marked, Own, Upstream
from tecken.modules.journal import Answer, Look
from tecken.modules.known import Fact, Remembered, Unknown
from tecken.sources.port import Stored
from tecken.store.port import Missing, MissingKind
from tecken.symbols.pagefile import Header
from tecken.web.templatetags.site import count, size

NOT_ASKED = "Not asked: an earlier one had it"
LATELY = "Not asked lately"
ANEW = "Whoever asks for it has all of them asked anew."


class Verdict(NamedTuple):
    """`kind` is one of the style sheet's."""

    kind: str
    text: str
    why: str = ""


class Asked(NamedTuple):
    """A place where symbol files are, in the order in which they are asked. `at` None: this very moment."""

    title: str
    name: str
    found: bool | None
    answer: str
    at: datetime | None
    seconds: float | None


class Memory(NamedTuple):
    """`answer` is empty where nothing is; `seconds` are left of it, else it lasts until what `until` says."""

    what: str
    where: str
    answer: str
    seconds: float | None = None
    until: str = ""


class Away(NamedTuple):
    part: str
    why: str


ONLY_TRY = Verdict("warning", "Only try builds have its symbols.", "They answer requests with ?try.")


def state_of(told: Explanation) -> State | None:
    return told.cache.state if isinstance(told.cache, Cached) else None


def is_looking(told: Explanation) -> bool:
    return state_of(told) in ("asked", "started")


def verdict(told: Explanation) -> Verdict:
    """Whatever is newest: what a worker does, what there is, what is remembered."""
    state = state_of(told)
    if state == "started":
        return Verdict("", "A worker is looking for it now.")
    if state == "asked":
        return Verdict("", "A worker has been asked to look for it.", "None has taken it up yet.")
    if isinstance(told.page_file, Header):
        return Verdict("success", "Its symbols are here.", _contents(told.page_file))
    if isinstance(told.store, int):
        return Verdict("success", "Its symbols are here.", "That is what the store says.")
    no = told.store.missing if isinstance(told.store, Marked) else state
    if _only_in_try(told) and not (isinstance(no, Missing) and no.kind != "absent"):
        return ONLY_TRY
    return _no(no) if isinstance(no, Missing) else _open(told)


def _only_in_try(told: Explanation) -> bool:
    return isinstance(told.of_try.now, Stored) and told.regular.now is None


def _no(missing: Missing) -> Verdict:
    texts: dict[MissingKind, Verdict] = {
        "absent": Verdict("warning", "Nobody has its symbols."),
        "malformed": Verdict("error", "Its symbol file cannot be used.", missing.reason),
        "unreachable": Verdict("error", "It could not be looked for everywhere.", "It is soon tried again."),
    }
    return texts[missing.kind]


def _open(told: Explanation) -> Verdict:
    """No answer is remembered; at most what was said when it was last looked for."""
    if isinstance(told.regular.now, Stored):
        return Verdict("", "Its symbol file is here.", "It is converted as soon as somebody asks for it.")
    if away(told, names=False):
        return Verdict("error", "It cannot be told now.")
    look = told.cache.look if isinstance(told.cache, Cached) else None
    if look is None:
        return Verdict("", "Nobody has asked for it lately.", "So nothing is known of it.")
    kinds = {answer.kind for answer in look.answers}
    if "unreachable" in kinds:
        return Verdict("error", "It could not be looked for everywhere, the last time.", ANEW)
    if "there" in kinds or "refused" in kinds:
        return Verdict("", "Somebody had its symbols, the last time.", ANEW)
    return Verdict("warning", "Nobody had its symbols, the last time.", ANEW)


def _contents(header: Header) -> str:
    pages, said = header.page_count, header.metadata
    paged = f"{count(pages)} page{'s' if pages != 1 else ''}"
    return f"{count(said.symbols)} symbols in {paged}, {size(_size(header))}."


def _size(header: Header) -> int:
    """Bytes of the whole page file."""
    return header.span(header.page_count - 1)[1] if header.page_count else len(header.raw)


def asked(told: Explanation, *, names: bool) -> Iterator[Asked]:
    """`names` tells storages' addresses too."""
    yield _own("Uploaded files", told.regular, names)
    yield _own("Uploaded files of try builds", told.of_try, names)
    look = told.cache.look if isinstance(told.cache, Cached) else None
    for upstream in told.upstreams:
        yield _upstream(upstream, look, told.cache, names)


def _own(title: str, own: Own, names: bool) -> Asked:
    name = own.name if names else ""
    if isinstance(own.now, CouldNotAsk):
        return Asked(title, name, None, _error(own.now, names), None, None)
    if own.now is None:
        return Asked(title, name, False, "Not there", None, None)
    return Asked(title, name, True, f"There, {size(own.now.size)}", None, None)


def _upstream(upstream: Upstream, look: Look | None, cache: Cached | CouldNotAsk, names: bool) -> Asked:
    name = upstream.name if names or upstream.name.startswith(("http:", "https:")) else ""
    if upstream.is_off:
        return Asked("Upstream", name, None, "Switched off by an operator", None, None)
    if isinstance(cache, CouldNotAsk) or look is None:
        return Asked("Upstream", name, None, LATELY, None, None)
    for answer in look.answers:
        if answer.source == upstream.name:
            return Asked("Upstream", name, _found(answer), _said(answer, names), look.at, answer.seconds)
    return Asked("Upstream", name, None, NOT_ASKED, look.at, None)


def _found(answer: Answer) -> bool | None:
    return {"there": True, "absent": False, "denied": False}.get(answer.kind)


def _said(answer: Answer, names: bool) -> str:
    match answer.kind:
        case "there":
            return "There"
        case "absent":
            return "Not there"
        case "denied":
            return answer.text if names else f"Refused: {answer.text.rpartition('refused: ')[2]}"
        case "off":
            return "Was switched off"
        case "refused":
            return answer.text if names else "There, but too large"
    return answer.text if names else "Could not be asked"


def _error(error: CouldNotAsk, names: bool) -> str:
    return str(error) if names else "Could not be asked"


def memories(told: Explanation, *, names: bool) -> Iterator[Memory]:
    """What is remembered, so that nobody needs to be asked."""
    if not isinstance(told.page_file, CouldNotAsk):
        yield _page_file(told.page_file)
    if not isinstance(told.store, CouldNotAsk):
        yield _in_store(told.store, names)
    if isinstance(told.cache, Cached):
        yield from _of_downloads(told.cache)


def _page_file(header: Header | None) -> Memory:
    if header is None:
        return Memory("Page file", "storage", "")
    return Memory("Page file", "storage", _contents(header), until="until other symbols are uploaded")


def _in_store(found: int | Marked | None, names: bool) -> Memory:
    if isinstance(found, int):
        return Memory(
            "For symbolication",
            "redis-store",
            f"There: a header, {size(found)}",
            until="until memory is needed",
        )
    if found is None:
        return Memory("For symbolication", "redis-store", "")
    kind, reason = found.missing
    answer = f"{kind.capitalize()}: {reason}" if names or kind == "malformed" else kind.capitalize()
    return Memory("For symbolication", "redis-store", answer, found.seconds)


def _of_downloads(cache: Cached) -> Iterator[Memory]:
    for title, one in (
        ("uploaded files", cache.regular),
        ("files of try builds", cache.of_try),
        ("upstreams", cache.upstream),
    ):
        yield Memory(f"For downloads: {title}", "redis-cache", _fact(one), one.seconds)


def _fact(one: Remembered) -> str:
    fact: Fact | Unknown = one.fact
    if isinstance(fact, Unknown):
        return ""
    return "Not there" if fact is None else "There"


def away(told: Explanation, *, names: bool) -> list[Away]:
    """Parts that did not answer."""
    parts = {"storage": told.page_file, "redis-store": told.store, "redis-cache": told.cache}
    return [
        Away(part, str(error) if names else "")
        for part, error in parts.items()
        if isinstance(error, CouldNotAsk)
    ]
