"""Measurements beside their peers, one module a subject: `python -m benchmarks.NAME`."""
