"""symbols fetched: modules of upstreams."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from tecken.errors import Unavailable
from tecken.storage import services as storage_services
from tecken.storage.models import FetchedModule
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tests.management.conftest import Manage
from tests.symbolication.samples import page_file, sym

pytestmark = pytest.mark.django_db
XUL = ObjectId("XUL.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
LIBC = ObjectId("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")


@pytest.fixture(autouse=True)
def rows(manage: Manage) -> None:
    for days, (module, upstream) in enumerate(
        ((XUL, "symsrv+https://msdl.example.com/"), (LIBC, "debuginfod+https://d.example.org/"))
    ):
        storage_services.page_files().write(module, [page_file(sym(module))])
        FetchedModule.objects.create(
            debug_file=module.name,
            debug_id=module.debug_id,
            upstream=upstream,
            format="pdb" if module is XUL else "elf",
            received_size=123_456,
            stored_size=1_000,
            fetched_at=timezone.now() - timedelta(days=days * 10),
        )


def left() -> set[ObjectId]:
    return {module for module, _ in storage_services.page_files().entries()}


def test_fetched_lists_modules_and_totals_of_each_upstream(manage: Manage) -> None:
    first, second, *totals = manage("symbols", "fetched").splitlines()
    assert first.startswith(
        f"{LIBC}: elf of debuginfod+https://d.example.org/, 123,456 bytes, 1,000 stored, "
    )
    assert second.startswith(f"xul.pdb/{XUL.debug_id}: pdb of symsrv+https://msdl.example.com/, ")
    assert totals == [
        "debuginfod+https://d.example.org/: 1 modules, 123,456 bytes, 1,000 stored",
        "symsrv+https://msdl.example.com/: 1 modules, 123,456 bytes, 1,000 stored",
    ]
    assert left() == {XUL, LIBC}


@pytest.mark.parametrize(
    ("arguments", "removed"),
    [
        ((), {XUL, LIBC}),
        ((str(XUL),), {XUL}),
        (("--upstream", "debuginfod"), {LIBC}),
        (("--days", "5"), {LIBC}),
        (("--days", "5", "--upstream", "symsrv"), set()),
    ],
)
def test_fetched_removes_what_it_lists(
    manage: Manage, arguments: tuple[str, ...], removed: set[ObjectId]
) -> None:
    *_, last = manage("symbols", "fetched", *arguments, "--remove").splitlines()
    assert last == f"{len(removed)} modules removed, {len(removed):,}{',000' if removed else ''} bytes"
    assert left() == {XUL, LIBC} - removed
    assert FetchedModule.objects.count() == 2 - len(removed)


def test_fetched_without_storage_fails_and_keeps_the_record(
    manage: Manage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_module: ObjectId) -> None:
        raise Unavailable("no storage")

    monkeypatch.setattr(symbolication_services, "remove_derived", refuse)
    with pytest.raises(CommandError, match="no storage; run the command again to continue"):
        manage("symbols", "fetched", "--remove")
    assert FetchedModule.objects.count() == 2
