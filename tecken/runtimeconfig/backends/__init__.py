"""Backends of the runtime configuration: Redis for a fleet, a file for one host, memory for tests."""
