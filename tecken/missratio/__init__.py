"""How many requests a store of any size would miss, told from a sample of what it is asked.

Spatially hashed sampling: Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC Construction with SHARDS,
FAST '15. A key is sampled always or never, by its hash, so reuse distances among sampled keys are those among
all keys times the sampling rate. Sizes differ, so a distance is in bytes, of all other keys that were asked
for since. Pure: no Redis, no clock.
"""
