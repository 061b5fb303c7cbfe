"""Facts about modules for `tecken.symbolication.remedies`: of one that is explained, or of a whole report.

Those of a report are read together: one round trip to redis-cache, and a few queries of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from django.db import DatabaseError
from django.db.models import Q

from tecken.errors import BadModule, Pending, Unavailable, hide_places
from tecken.storage import services as storage_services
from tecken.storage.lookup_log import Kind, LookupRecord
from tecken.storage.models import FetchedModule, SymbolFile
from tecken.storage.models import Kind as FileKind
from tecken.storage.native import find_parents_if_any
from tecken.storage.port import Stored
from tecken.store.port import Missing
from tecken.symbolication.crash_reports.parsed_report import ReportModule
from tecken.symbolication.explain import Cached, Explanation, Marked, Native
from tecken.symbolication.remedies import ModuleFacts, Remedy, find_remedy
from tecken.symbolication.service import MISSING_NAMES
from tecken.symbolication.symbolicated import ModuleUse, SymbolicatedReport
from tecken.symbols.ids import GUID_DIGITS, ObjectId

MAX_MODULES: Final = 20
"""Missing modules of one report that are looked up, those with the most frames; the others have a link."""
MAX_WITHOUT_LINES: Final = 5
MAX_ROWS: Final = 200


class ModuleRow(NamedTuple):
    """Module of a report with its remedy: None where all is well."""

    use: ModuleUse
    remedy: Remedy | None


def list_modules(report: SymbolicatedReport, site: str, *, is_of_dump: bool = False) -> list[ModuleRow]:
    """Return the modules of a report, the missing ones first, those with the most frames before others."""
    missing = sorted((use for use in report.modules if use.why), key=lambda use: -use.frames)
    found = [use for use in report.modules if not use.why]
    without_lines = _find_without_lines(report, found)
    rows = [
        ModuleRow(use, find_remedy(facts._replace(is_of_dump=is_of_dump), site))
        for use, facts in _load_facts(missing[:MAX_MODULES])
    ]
    rows += [ModuleRow(use, _see_why(use)) for use in missing[MAX_MODULES:]]
    for use in found:
        facts = _base_facts(use)._replace(is_found=True, only_executable=use.module in without_lines)
        rows.append(ModuleRow(use, find_remedy(facts, site)))
    return rows


def find_remedy_of_explained(
    module: ObjectId,
    explanation: Explanation,
    site: str,
    *,
    is_found: bool,
    only_try: bool,
    has_other_builds: bool,
) -> Remedy | None:
    """Return the remedy of the module that a page explains; the page has some conclusions already."""
    missing = _find_marker(explanation)
    facts = ModuleFacts(
        module.debug_file,
        module.debug_id,
        problem=_find_problem(explanation, missing),
        reason=hide_places(missing.reason) if missing else "",
        results=frozenset(_list_kinds(explanation, missing)),
        is_found=is_found,
        is_stored=isinstance(explanation.regular.now, Stored) or isinstance(explanation.native, Native),
        only_try=only_try,
        only_executable=is_found and is_only_executable(module),
        has_other_builds=has_other_builds,
    )
    if is_found or only_try:
        return find_remedy(facts, site)
    with suppress(DatabaseError):
        facts = _add_rows(facts, module, _load_rows([module]))
        facts = facts._replace(only_try=False)
    return find_remedy(facts, site)


def _find_marker(explanation: Explanation) -> Missing | None:
    if isinstance(explanation.store, Marked):
        return explanation.store.missing
    state = explanation.cache.state if isinstance(explanation.cache, Cached) else None
    return state if isinstance(state, Missing) else None


def _find_problem(explanation: Explanation, missing: Missing | None) -> str:
    """Return the name that `module_errors` would have."""
    state = explanation.cache.state if isinstance(explanation.cache, Cached) else None
    if state in ("asked", "started", "scanned"):
        return Pending.wire_name
    return MISSING_NAMES[missing.kind] or "" if missing else ""


def _list_kinds(explanation: Explanation, missing: Missing | None) -> Iterator[Kind]:
    """Yield the kinds of results of the last search, and of sources whose state is known without one."""
    if missing and missing.kind == "absent":
        yield "absent"
    if isinstance(explanation.cache, Cached) and explanation.cache.look:
        yield from (result.kind for result in explanation.cache.look.results)
    if any(upstream.is_off for upstream in explanation.upstreams):
        yield "off"
    if isinstance(explanation.regular.now, Unavailable) or isinstance(explanation.native, Unavailable):
        yield "unreachable"


def _see_why(use: ModuleUse) -> Remedy | None:
    return Remedy("", "Its page has the reason", link=use.explain) if use.explain else None


def _base_facts(use: ModuleUse) -> ModuleFacts:
    return ModuleFacts(*use.module, problem=use.problem, reason=use.reason, explain=use.explain)


def _load_facts(uses: Sequence[ModuleUse]) -> Iterator[tuple[ModuleUse, ModuleFacts]]:
    modules = {use: module for use in uses if (module := _parse(use))}
    looks: dict[ObjectId, LookupRecord] = {}
    with suppress(Unavailable):
        looks = storage_services.lookup_log().last_of([*modules.values()])
    try:
        rows = _load_rows(modules.values())
        others = {module: _has_other_builds(module) for module in modules.values()}
    except DatabaseError:
        rows, others = None, {}
    for use in uses:
        facts, module = _base_facts(use), modules.get(use)
        if module:
            look = looks.get(module)
            kinds = frozenset(result.kind for result in look.results) if look else frozenset()
            facts = facts._replace(results=kinds, has_other_builds=others.get(module, False))
            facts = _add_rows(facts, module, rows) if rows is not None else facts
        yield use, facts


def _parse(use: ModuleUse) -> ObjectId | None:
    return _parse_names(use.module)


def _parse_names(names: ReportModule) -> ObjectId | None:
    with suppress(BadModule):
        return ObjectId.parse(*names) if all(names) else None
    return None


class _StoredRow(NamedTuple):
    """Columns of a file that tell why a module is missing."""

    debug_file: str
    debug_id: str
    native_id: str
    is_complete: bool
    is_try: bool

    @property
    def id(self) -> str:
        # A native file may be stored below another id, such as its code id.
        return self.native_id or self.debug_id


def _load_rows(modules: Iterable[ObjectId]) -> list[_StoredRow]:
    """Return files whose ids begin as those of the modules. An index has each condition."""
    condition = Q(pk__in=())
    for guid in {module.debug_id[:GUID_DIGITS] for module in modules}:
        # Hexadecimal digits follow the GUID, and all of them sort before "G".
        end = f"{guid}G"
        condition |= Q(debug_id__gte=guid, debug_id__lt=end) | Q(native_id__gte=guid, native_id__lt=end)
    columns = ("debug_file", "debug_id", "native_id", "completed_at", "try_symbols")
    rows = SymbolFile.objects.filter(condition).order_by("-pk").values_list(*columns)[:MAX_ROWS]
    return [
        _StoredRow(file, debug_id, native_id, completed is not None, is_try)
        for file, debug_id, native_id, completed, is_try in rows
    ]


def _has_other_builds(module: ObjectId) -> bool:
    guid = module.debug_id[:GUID_DIGITS]
    named = SymbolFile.objects.filter(debug_file=module.debug_file, completed_at__isnull=False)
    return named.filter(try_symbols=False).exclude(debug_id__gte=guid, debug_id__lt=f"{guid}G").exists()


def _add_rows(facts: ModuleFacts, module: ObjectId, rows: Sequence[_StoredRow]) -> ModuleFacts:
    """Return facts with what the rows of files with the module's id or GUID tell."""
    same = [row for row in rows if row.id == module.debug_id]
    stored = [row for row in same if row.is_complete]
    guid = module.debug_id[:GUID_DIGITS]
    ages = (
        row.id
        for row in rows
        if row.is_complete and not row.is_try and row.id[:GUID_DIGITS] == guid and row.id != module.debug_id
    )
    return facts._replace(
        was_uploaded=any(not row.is_try for row in stored),
        only_try=bool(stored) and all(row.is_try for row in stored),
        is_unfinished=bool(same) and not stored,
        other_age=next(ages, ""),
    )


def _find_without_lines(report: SymbolicatedReport, found: Sequence[ModuleUse]) -> set[object]:
    """Return found modules without a line of source code whose debug file was not uploaded."""
    with_lines = {row.module for thread in report.threads for row in thread.rows if row.call and row.call.at}
    candidates = [use for use in found if use.frames and use.module.debug_file not in with_lines]
    return {use.module for use in candidates[:MAX_WITHOUT_LINES] if is_only_executable(_parse(use))}


def load_times(modules: Sequence[ReportModule]) -> list[datetime]:
    """Return the times at which symbols of modules were uploaded or fetched; none without the database."""
    ids = {module.debug_id for names in modules[:MAX_MODULES] if (module := _parse_names(names))}
    stored = SymbolFile.objects.filter(Q(debug_id__in=ids) | Q(native_id__in=ids), try_symbols=False)
    fetched = FetchedModule.objects.filter(debug_id__in=ids)
    with suppress(DatabaseError):
        completed = stored.order_by("-pk").values_list("completed_at", flat=True)[:MAX_ROWS]
        return [*filter(None, completed), *fetched.values_list("fetched_at", flat=True)[:MAX_ROWS]]
    return []


def is_only_executable(module: ObjectId | None) -> bool:
    """Return whether the native files of a module are an executable, without debug information."""
    with suppress(Unavailable, DatabaseError):
        parents = find_parents_if_any(module) if module else None
        return parents is not None and parents.main.kind == FileKind.EXECUTABLE
    return False
