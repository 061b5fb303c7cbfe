"""Tells every process at once that a module has other symbols now."""

from __future__ import annotations

import logging

import redis

from tecken.breaker import Breaker
from tecken.errors import CouldNotAsk
from tecken.modules import keys
from tecken.symbols.ids import ModuleKey

logger = logging.getLogger(__name__)


class Herald:
    """Without redis-cache nobody is told, and a header is trusted for as long as it is anyway."""

    def __init__(self, client: redis.Redis, breaker: Breaker) -> None:
        self._client = client
        self._breaker = breaker

    def tell(self, module: ModuleKey) -> None:
        """One short deadline; raises nothing."""
        try:
            self._breaker.admit()
            self._client.publish(keys.REPLACED, str(module))
        except CouldNotAsk:
            return
        except redis.RedisError as error:
            self._breaker.failed()
            logger.warning("%s: other processes were not told: %s", module, type(error).__name__)
        else:
            self._breaker.answered()
