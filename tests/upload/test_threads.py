from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tecken.runtimeconfig.current import options, overridden, pinned
from tecken.upload.threads import each, submit


def days(_item: int = 0) -> int:
    return options().keep_try_days


def test_a_thread_has_the_options_of_its_request() -> None:
    with ThreadPoolExecutor(2) as pool, overridden(keep_try_days=5):
        with pinned(), overridden(keep_try_days=6):
            assert submit(pool, days).result() == 5
            assert list(each(pool, days, [1, 2, 3])) == [5, 5, 5]
            assert pool.submit(days).result() == 6
        assert submit(pool, days).result() == 5


def test_what_a_thread_raises_is_raised() -> None:
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(ZeroDivisionError):
            list(each(pool, lambda item: 1 // item, [1, 0]))
        with pytest.raises(ZeroDivisionError):
            submit(pool, lambda: 1 // 0).result()
