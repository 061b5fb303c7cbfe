"""Rate limits and quotas: who may ask how much, decided in one step on redis-cache."""
