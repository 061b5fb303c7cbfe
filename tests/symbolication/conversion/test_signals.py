from __future__ import annotations

from tecken.symbolication.conversion.queue import ResultSignals
from tecken.symbols.ids import ObjectId

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


def test_notify_wakes_those_who_wait_for_the_module() -> None:
    signals = ResultSignals()
    with (
        signals.watch([XUL.key, NSS.key]) as both,
        signals.watch([NSS.key]) as nss,
        signals.watch([XUL.key]) as xul,
    ):
        signals.notify(NSS.key)
        assert [event.is_set() for event in (both, nss, xul)] == [True, True, False]


def test_notify_any_spelling_wakes_the_module() -> None:
    signals = ResultSignals()
    with signals.watch([ObjectId("XUL.pdb", XUL.debug_id).key]) as event:
        signals.notify(XUL.key)
        assert event.is_set()


def test_watch_ended_is_not_notified() -> None:
    signals = ResultSignals()
    with signals.watch([XUL.key]) as event, signals.watch([XUL.key, XUL.key]):
        pass
    signals.notify(XUL.key)
    assert not event.is_set()
    assert signals.watched == 0
