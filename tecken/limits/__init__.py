"""Rate limits and quotas, and the usage of each token.

A request is charged to a caller: an address, a token and a user. One script on redis-cache decides all limits
of a request in one round trip, by the server's clock. While redis-cache does not answer, a limit is open,
closed, or divided among the processes, as its option says.

Main classes:

* `port.Limiter`: charges and refunds. `limiter.RedisLimiter` is for a fleet,
  `limiter.MemoryLimiter` for one process.
* `usage.UsageCounter`: counts requests, frames and bytes in memory, and sends them to redis-cache each
  second.
* `models.roll_up_days`: writes the usage of each day to the database.

What must never happen:

* A request is charged to some of its limits: it counts for all that apply, or for none.
* A cost above the quantity of a limit is answered with "try later": waiting would not help.
* A lost answer of Redis counts usage twice.
* An outage of redis-cache stops reading requests, except where an option closes them.
"""
