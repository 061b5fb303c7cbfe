"""Remedies: why a module has no symbols, or too few, and the one command or link that helps.

/explain/ ends with one, and the page of a stack has one for each module without functions. Both collect
`ModuleFacts` and call `find_remedy`, so that they never differ.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

from tecken.symbolication.minidump.summary import VDSO

LONGEST_ARGUMENT: Final = 100
# Parts of reasons that `tecken.symbolication.conversion`, `tecken.storage` and `tecken.symbols` write. The
# tests make these errors happen, so that a reason cannot be reworded unnoticed.
OTHER_BUILD: Final = ("of another build", " file that it has sent has the ")
# Of the limit symbol_max_bytes. An operator cannot raise other ones, such as that of the bytes in a line.
OVER_LIMIT: Final = ("symbol file is longer than ", " file of more than ", " bytes, at most ")
SWITCHES: Final = "/config/#sources_off"


class ModuleFacts(NamedTuple):
    """What is known of a module.

    `problem` and `reason` are an entry of `module_errors`, and `results` the kinds of results of the last
    search, as `tecken.storage.lookup_log.Kind` has them. `was_uploaded` is None without the database.
    """

    debug_file: str
    debug_id: str
    problem: str = ""
    reason: str = ""
    results: frozenset[str] = frozenset()
    is_found: bool = False
    is_stored: bool = False
    """Its file is in a storage of ours, but not used yet."""
    only_executable: bool = False
    only_try: bool = False
    is_unfinished: bool = False
    was_uploaded: bool | None = None
    other_age: str = ""
    """Debug id with the same GUID and another age that is stored."""
    has_other_builds: bool = False
    explain: str = ""
    """Address of the page that explains it."""
    is_of_dump: bool = False
    """It is of a minidump's report, which changes only when the dump is processed again."""

    @property
    def retry(self) -> str:
        """Return what people do for another result."""
        return "process the dump again" if self.is_of_dump else "look again"


class Remedy(NamedTuple):
    """Sentence with the cause and the next step; at most one of `command` and `link` is set.

    `cause` is a short name for the cause.
    """

    cause: str
    text: str
    command: str = ""
    link: str = ""


TOO_LARGE: Final = Remedy(
    "too large",
    "Its file is larger than this site takes; an operator can raise the limit symbol_max_bytes",
    link="/config/#symbol_max_bytes",
)


def find_remedy(facts: ModuleFacts, site: str) -> Remedy | None:
    """Return the first remedy that applies, None for a module with all symbols. `site` is this site's URL."""
    if facts.is_found:
        return _remedy_of_found(facts, site)
    steps = (_remedies_of_names, _remedies_of_waiting, _remedies_of_files, _remedies_of_sources)
    for step in steps:
        for remedy in step(facts, site):
            return remedy
    return _remedy_of_absent(facts, site)


def _remedy_of_found(facts: ModuleFacts, site: str) -> Remedy | None:
    if not facts.only_executable:
        return None
    text = "Only the executable was uploaded, so lines and inlined calls are missing; upload its debug file"
    return Remedy("only the executable", text, _upload(facts, site))


def _remedies_of_names(facts: ModuleFacts, site: str) -> Iterator[Remedy]:
    if not facts.debug_id or not facts.debug_file:
        part = "id" if facts.debug_file else "name"
        if facts.is_of_dump:
            yield _remedy_of_dump_names(facts, site)
        text = f"The text does not have its debug {part}; read it from the file, and add it to the text"
        yield Remedy(f"no {part}", text, f"tecken-upload check {_argument(facts.debug_file)}")
    elif facts.debug_file in VDSO:
        yield Remedy("kernel's code", "The kernel maps it into each process; stacks seldom need its symbols")
    if facts.problem == "BadModule":
        step = "the dump may be damaged" if facts.is_of_dump else "correct the text"
        yield Remedy("no module", f"No module can have this name and id ({facts.reason}); {step}")


def _remedy_of_dump_names(facts: ModuleFacts, site: str) -> Remedy:
    """Return the remedy of a module that a dump does not identify. Unlike a text, it cannot be added to."""
    if not facts.debug_file:
        return Remedy("no name", "The dump does not have its name, so nothing can be looked up")
    text = "The dump does not have its debug id; upload the file itself, which may be found by its code id"
    return Remedy("no id", text, _upload(facts, site))


def _remedies_of_waiting(facts: ModuleFacts, _site: str) -> Iterator[Remedy]:
    link = facts.explain
    if facts.problem == "Pending":
        yield Remedy("not ready", f"A worker is looking for it; {facts.retry} in some seconds", link=link)
    if facts.problem != "Malformed" and (facts.is_stored or "there" in facts.results):
        text = f"A source has its symbol file, and it is not used yet; {facts.retry}"
        yield Remedy("not used yet", text, link=link)
    if facts.problem == "Throttled" or (facts.problem == "CouldNotAsk" and "throttled" in facts.results):
        text = f"An upstream limits the rate of requests; {facts.retry} in a minute"
        yield Remedy("throttled", text, link=link)
    if facts.problem:
        if facts.problem != "Malformed":
            text = f"It could not be looked up ({facts.reason}); {facts.retry} in some seconds"
            yield Remedy("no answer", text, link=link)
    elif "unreachable" in facts.results:
        text = f"A source that may have it did not answer; {facts.retry} in some minutes"
        yield Remedy("no answer", text, link=link)


def _remedies_of_files(facts: ModuleFacts, site: str) -> Iterator[Remedy]:
    upload = _upload(facts, site)
    if facts.problem == "Malformed":
        if any(part in facts.reason for part in OTHER_BUILD):
            text = "The symbol file that was found is of another build (wrong id); upload that of this build"
            yield Remedy("wrong id", text, upload)
        if "too large" in facts.results or any(part in facts.reason for part in OVER_LIMIT):
            yield TOO_LARGE
        text = f"Its symbol file cannot be used ({facts.reason}); make it again, and check it"
        yield Remedy("malformed", text, f"tecken-upload check {_argument(facts.debug_file)}")
    if facts.is_unfinished:
        yield Remedy("unfinished upload", "Its upload has not finished; run the upload again", upload)
    if facts.other_age:
        text = f"It is stored with a different age, as {facts.other_age}; upload the file of this very build"
        yield Remedy("different age", text, upload)
    if facts.only_try:
        text = "Only try builds have its symbols, for requests with ?try; upload it as a regular build"
        yield Remedy("only try builds", text, upload)


def _remedies_of_sources(facts: ModuleFacts, site: str) -> Iterator[Remedy]:
    if "off" in facts.results:
        text = "An upstream that may have it is switched off; an operator can switch it on"
        yield Remedy("switched off", text, link=SWITCHES)
    if "throttled" in facts.results:
        text = f"An upstream limits the rate of requests; {facts.retry} in a minute"
        yield Remedy("throttled", text, link=facts.explain)
    if "too large" in facts.results:
        yield TOO_LARGE
    if "refused" in facts.results:
        text = "An upstream has a file that cannot be used; upload the right one"
        yield Remedy("malformed", text, _upload(facts, site))
    if "denied" in facts.results:
        text = "An upstream refuses to give it, and it was not uploaded; upload it"
        yield Remedy("refused by the upstream", text, _upload(facts, site))


def _remedy_of_absent(facts: ModuleFacts, site: str) -> Remedy:
    upload = _upload(facts, site)
    if facts.was_uploaded and facts.is_of_dump:
        text = (
            "It has been uploaded: process the dump again. If the report lacks it then, too, upload it again"
        )
        return Remedy("uploaded", text, upload)
    if facts.was_uploaded:
        text = "It was uploaded, and its file has been removed since; upload it again"
        return Remedy("removed", text, upload)
    if facts.has_other_builds:
        text = "Only other builds of it are stored (wrong id, or never uploaded); upload that of this build"
        return Remedy("wrong id", text, upload)
    if not facts.results:
        text = "It was not uploaded, and was not searched recently; upload it, or symbolicate a stack with it"
        return Remedy("never uploaded", text, upload)
    if facts.was_uploaded is None:
        return Remedy("absent", "No source has its symbols; upload them", upload)
    return Remedy("never uploaded", "It was never uploaded, and no upstream has it; upload it", upload)


def _upload(facts: ModuleFacts, site: str) -> str:
    return f"tecken-upload --url {shlex.quote(site)} {_argument(facts.debug_file)}"


def _argument(name: str) -> str:
    """Return a file name as an argument for a shell; a placeholder for one that is hard to type."""
    if not name or len(name) > LONGEST_ARGUMENT or not name.isprintable():
        return "FILE"
    return shlex.quote(f"./{name}" if name.startswith("-") else name)
