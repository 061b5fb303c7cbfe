"""Observation of the site: health, start checks, logs and traces."""
