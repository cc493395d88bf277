"""Verifier of the nudge: simple Push-T's, by its criterion."""

from robots.tasks.push_t_simple.verify import verify

__all__ = ["verify"]
