"""Backends: the shared stores that distribute the configuration to all processes.

Each method has one short deadline and raises Unavailable when it passes. A subscription raises it when its
connection is lost. tests/contract/test_config_backend.py has what all backends must do.
"""
