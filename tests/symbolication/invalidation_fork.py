"""Run by test_herald: a parent and its forked child both trust a header for an hour, until they are told."""

from __future__ import annotations

import os

import django

django.setup()

from tecken.redisclient import services as redis_services  # noqa: E402 - reads the settings
from tecken.runtimeconfig.current import overridden  # noqa: E402
from tecken.store import services as store_services  # noqa: E402 - reads the settings
from tecken.symbolication import services as symbolication_services  # noqa: E402 - reads the settings
from tecken.symbolication.conversion import keys  # noqa: E402
from tecken.symbolication.trace import Trace  # noqa: E402
from tests.symbolication.samples import header_of  # noqa: E402
from tests.symbolication.test_invalidation import XUL  # noqa: E402


def trusted() -> bool:
    return XUL in symbolication_services.symbol_loader().headers([XUL], Trace())


def listeners() -> int:
    return int(redis_services.cache_client().pubsub_numsub(keys.REPLACED)[0][1])


with overridden(process_header_seconds=3600):
    store_services.page_store().put_header(XUL, header_of(XUL).raw)
    assert trusted()
    child = os.fork()
    while listeners() < 2 or not trusted():
        assert trusted()
    if child:
        os.waitpid(child, 0)  # it has seen both listen, and has told
    else:
        store_services.page_store().forget(XUL)
        assert trusted()
        symbolication_services.invalidation_publisher().tell(XUL)
    while trusted():
        pass
    print("parent heard" if child else "child heard", flush=True)
    if not child:
        os._exit(0)
