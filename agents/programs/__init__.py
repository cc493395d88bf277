"""Agents that are command-line programs: how each is started, in the sandbox, and what it reaches."""
