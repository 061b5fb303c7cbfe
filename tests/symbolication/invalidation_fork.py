"""Program of test_invalidation: a process and its forked child trust a header until it is invalidated."""

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


def is_trusted() -> bool:
    return XUL in symbolication_services.symbol_loader().headers([XUL], Trace())


def count_subscribers() -> int:
    return int(redis_services.cache_client().pubsub_numsub(keys.REPLACED)[0][1])


def load_header() -> None:
    store_services.page_store().put_header(XUL, header_of(XUL).raw)
    assert is_trusted()


with overridden(process_header_seconds=3600):
    load_header()
    ready_read, ready_write = os.pipe()
    child = os.fork()
    # Each process subscribes when it loads a header.
    while not is_trusted() or count_subscribers() < 2:
        pass
    if child:
        os.write(ready_write, b"1")
        os.waitpid(child, 0)
    else:
        # The parent still needs the header until it has seen both subscriptions.
        os.close(ready_write)
        assert os.read(ready_read, 1)
        # A confirmed subscription ends the trust in every header. It is handled once, maybe only now.
        is_first = True
        while is_first or not is_trusted():
            load_header()
            store_services.page_store().forget(XUL)
            is_first = False
        symbolication_services.invalidation_publisher().publish(XUL)
    while is_trusted():
        pass
    print("parent invalidated" if child else "child invalidated", flush=True)
    if not child:
        os._exit(0)
