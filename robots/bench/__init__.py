"""A task on the bench: conformance, reset reliability, verifier score, and what is published."""
