"""The store: pages and headers of symbols on redis-store, and figures about its use.

redis-store evicts the least recently used keys. It is a cache: each page can be read again from its page
file. Its figures are kept on redis-cache, because on redis-store pages would be evicted for them.

Main classes:

* `port.PageStore`: reads and writes headers, pages and missing markers. `page_store.RedisPageStore` is
  for redis-store or a cluster, `page_store.MemoryPageStore` for the demo mode and tests.
* `access_counts.InstrumentedStore`: a page store whose accesses are sampled, for the miss-ratio curve
  (`miss_ratio`).
* `access_counts.HitCounts`: hits and misses per module, and the most requested pages.
* `page_store.StoreStats`: number of modules, memory, evictions.

What must never happen:

* An outage of the store is reported as an absent module: every method raises an error then.
* Pages of one upload are found with the header of another: the generation is part of a page's key.
* A figure delays or fails a request.
* A single command carries more than a few megabytes and makes other clients wait.
"""
