"""Pin insertion, hard: with a worse estimate of the hole, and an arm that sags."""
