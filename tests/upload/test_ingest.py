from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tecken.runtimeconfig.current import options, overridden, pinned
from tecken.upload.ingest import ContextThreads


def days(_item: int = 0) -> int:
    return options().keep_try_days


def test_context_threads_task_has_the_options_of_its_request() -> None:
    with ContextThreads(2) as pool, ThreadPoolExecutor(1) as other_pool, overridden(keep_try_days=5):
        with pinned(), overridden(keep_try_days=6):
            assert pool.submit(days).result() == 5
            assert list(pool.map(days, [1, 2, 3])) == [5, 5, 5]
            assert other_pool.submit(days).result() == 6
        assert pool.submit(days).result() == 5


def test_context_threads_error_of_a_task_is_raised() -> None:
    with ContextThreads(2) as pool:
        with pytest.raises(ZeroDivisionError):
            list(pool.map(lambda item: 1 // item, [1, 0]))
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result()
