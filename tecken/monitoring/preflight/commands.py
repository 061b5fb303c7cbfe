"""Commands that Tecken sends to its servers, on keys with the names that it uses.

An account that may run these, and those of ALWAYS, suffices. A test compares them with those of a site.
"""

from __future__ import annotations

Command = tuple[str, ...]


def _commands(text: str) -> tuple[Command, ...]:
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


ALWAYS = ("CLIENT", "DISCARD", "EXEC", "HELLO", "INFO", "MULTI", "SELECT")

CACHE = _commands(
    """
    GET cold:answer:x
    MGET cold:answer:x
    SET cold:answer:x 1
    DEL cold:answer:x
    UNLINK cold:answer:x
    EXPIRE cold:answer:x 1
    PEXPIRE cold:answer:x 1
    EXISTS cold:answer:x
    INCRBY :1:x 1
    PUBLISH tecken:config x
    LPUSH convert x
    RPUSH convert x
    BRPOP convert 1
    RPOP convert
    LLEN convert
    LINDEX convert 0
    LTRIM convert 0 1
    LINDEX convert -1
    LRANGE convert 0 1
    LREM convert 1 x
    HSET unacked x 1
    HGET unacked x
    HDEL unacked x
    HLEN unacked
    HGETALL unacked
    HINCRBY unacked x 1
    ZADD unacked_index 1 x
    ZCARD unacked_index
    ZCOUNT unacked_index 0 1
    ZREMRANGEBYSCORE unacked_index 0 1
    ZREM unacked_index x
    ZINCRBY store:hits:1 1 x
    ZREMRANGEBYRANK store:hits:1 0 -1000
    ZUNION 1 store:hits:1
    ZRANGE unacked_index 0 1
    ZRANGEBYSCORE unacked_index 0 1
    ZREVRANGEBYSCORE unacked_index 1 0
    SADD _kombu.binding.convert x
    SREM _kombu.binding.convert x
    SMEMBERS _kombu.binding.convert
    SCAN 0
    TIME
    EVAL x 0
    EVALSHA 0000000000000000000000000000000000000000 0
    SCRIPT LOAD x
    """
)
# These are not allowed in a transaction. "{}" is a channel of the settings.
CACHE_OUTSIDE = _commands(
    """
    PING
    WATCH unacked
    UNWATCH
    SUBSCRIBE {}
    UNSUBSCRIBE {}
    PSUBSCRIBE /1.celeryev/*
    PUNSUBSCRIBE /1.celeryev/*
    """
)
STORE = _commands(
    """
    GET :1:symbol:x
    MGET :1:symbol:x
    SET :1:symbol:x 1
    MSET :1:symbol:x 1
    DEL :1:symbol:x
    UNLINK :1:symbol:x
    """
)


def acl_rules(*groups: tuple[Command, ...]) -> list[str]:
    """Return an access control list that allows these commands and ALWAYS, and nothing else.

    See <https://redis.io/docs/latest/commands/acl-setuser/>.
    """
    names = {*ALWAYS, *(command[0] for group in groups for command in group)}
    return ["~*", "&*", *(f"+{name.lower()}" for name in sorted(names))]
